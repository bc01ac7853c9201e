-- Writes a run's rows of data_quality_metrics; the same run again replaces them.
MERGE data_quality_metrics AS T
USING (
  SELECT
    @run_id AS run_id,
    metric_row.check_date AS check_date,
    metric_row.table_name AS table_name,
    metric_row.dimension AS dimension,
    metric_row.metric AS metric,
    metric_row.value AS value,
    metric_row.threshold AS threshold,
    metric_row.status AS status,
    metric_row.details AS details
  FROM UNNEST(@metric_rows) AS metric_row
) AS S
ON T.check_date IN UNNEST(@check_dates)
  AND T.check_date = S.check_date
  AND T.run_id = S.run_id
  AND T.table_name = S.table_name
  AND T.dimension = S.dimension
  AND T.metric = S.metric
WHEN MATCHED THEN UPDATE SET
  value = S.value,
  threshold = S.threshold,
  status = S.status,
  details = S.details
WHEN NOT MATCHED THEN INSERT (
  run_id, check_date, table_name, dimension, metric, value, threshold, status, details
) VALUES (
  S.run_id, S.check_date, S.table_name, S.dimension, S.metric, S.value, S.threshold, S.status,
  S.details
)
