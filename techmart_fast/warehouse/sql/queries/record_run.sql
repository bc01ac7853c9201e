-- Writes one row of pipeline_monitoring; the same run again replaces it.
MERGE pipeline_monitoring AS T
USING (
  SELECT
    @run_id AS run_id,
    @start_date AS start_date,
    @started_at AS started_at,
    @ended_at AS ended_at,
    @status AS status,
    @records_read AS records_read,
    @records_loaded AS records_loaded,
    @records_rejected AS records_rejected,
    @records_held AS records_held,
    @records_duplicate AS records_duplicate,
    @seconds AS seconds,
    @rows_per_second AS rows_per_second,
    @bytes_per_second AS bytes_per_second,
    @peak_memory_bytes AS peak_memory_bytes,
    @contract_version AS contract_version,
    @error AS error
) AS S
ON T.start_date = @start_date AND T.run_id = S.run_id
WHEN MATCHED THEN UPDATE SET
  started_at = S.started_at,
  ended_at = S.ended_at,
  status = S.status,
  records_read = S.records_read,
  records_loaded = S.records_loaded,
  records_rejected = S.records_rejected,
  records_held = S.records_held,
  records_duplicate = S.records_duplicate,
  seconds = S.seconds,
  rows_per_second = S.rows_per_second,
  bytes_per_second = S.bytes_per_second,
  peak_memory_bytes = S.peak_memory_bytes,
  contract_version = S.contract_version,
  error = S.error
WHEN NOT MATCHED THEN INSERT (
  run_id, start_date, started_at, ended_at, status, records_read, records_loaded, records_rejected,
  records_held, records_duplicate, seconds, rows_per_second, bytes_per_second, peak_memory_bytes,
  contract_version, error
) VALUES (
  S.run_id, S.start_date, S.started_at, S.ended_at, S.status, S.records_read, S.records_loaded,
  S.records_rejected, S.records_held, S.records_duplicate, S.seconds, S.rows_per_second,
  S.bytes_per_second, S.peak_memory_bytes, S.contract_version, S.error
)
