-- What BigQuery's functions mean, where DuckDB's own differ or are missing. Each macro's name says the
-- BigQuery function and, where it matters, the type of its arguments: the translation chooses by
-- type. https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all

-- NUMERIC has nine decimals and rounds half away from zero. A quotient is guessed in floating point,
-- and proven by multiplying back, which is exact in DECIMAL(38, 18): it is right when the error is
-- below half a step, or half a step and the guess away from zero. Else, and beyond 1e18, a slow exact
-- function decides. (One 128-bit division costs as much as all of this. No CASE stands inside another
-- and nothing is left to TRY: DuckDB 2.0 evaluates too much of the one and catches too little by the
-- other when arguments are constant.)
CREATE MACRO bq_quotient(a, b) AS CAST(a AS DOUBLE) / CAST(b AS DOUBLE);
CREATE MACRO bq_is_long(a) AS abs(a) > CAST('1000000000000000000' AS DECIMAL(38, 9));
CREATE MACRO bq_product(a, b) AS abs(CAST(bq_quotient(a, b) AS DECIMAL(38, 9)) * b);
CREATE MACRO bq_error(a, b) AS abs(bq_product(a, b) - abs(a) * CAST(1 AS DECIMAL(10, 9)));
CREATE MACRO bq_half_step(b) AS abs(b) * CAST('0.0000000005' AS DECIMAL(10, 10));
CREATE MACRO bq_divide_numeric(a, b) AS
    CASE WHEN a IS NULL OR b IS NULL THEN CAST(NULL AS DECIMAL(38, 9))
         WHEN b = 0 THEN CAST(error('division by zero: ' || a || ' / ' || b) AS DECIMAL(38, 9))
         WHEN bq_is_long(a) OR bq_is_long(b) THEN exact_divide(a, b)
         WHEN bq_error(a, b) < bq_half_step(b) THEN CAST(bq_quotient(a, b) AS DECIMAL(38, 9))
         WHEN bq_error(a, b) = bq_half_step(b) AND bq_product(a, b) > abs(a)
         THEN CAST(bq_quotient(a, b) AS DECIMAL(38, 9))
         ELSE exact_divide(a, b) END;
CREATE MACRO bq_safe_divide_numeric(a, b) AS
    CASE WHEN a IS NULL OR b IS NULL THEN CAST(NULL AS DECIMAL(38, 9))
         WHEN b = 0 THEN CAST(NULL AS DECIMAL(38, 9))
         WHEN bq_is_long(a) OR bq_is_long(b) THEN safe_exact_divide(a, b)
         WHEN bq_error(a, b) < bq_half_step(b) THEN CAST(bq_quotient(a, b) AS DECIMAL(38, 9))
         WHEN bq_error(a, b) = bq_half_step(b) AND bq_product(a, b) > abs(a)
         THEN CAST(bq_quotient(a, b) AS DECIMAL(38, 9))
         ELSE safe_exact_divide(a, b) END;
-- A product is guessed and proven likewise: DuckDB's own cast to nine decimals is such a division.
CREATE MACRO bq_product_guess(a, b) AS CAST(a AS DOUBLE) * CAST(b AS DOUBLE);
CREATE MACRO bq_product_error(a, b) AS
    abs(CAST(bq_product_guess(a, b) AS DECIMAL(38, 9)) * CAST(1 AS DECIMAL(10, 9)) - a * b);
CREATE MACRO bq_multiply_numeric(a, b) AS
    CASE WHEN abs(bq_product_guess(a, b)) >= 1e19 THEN exact_multiply(a, b)
         WHEN bq_product_error(a, b) < CAST('0.0000000005' AS DECIMAL(10, 10))
         THEN CAST(bq_product_guess(a, b) AS DECIMAL(38, 9))
         ELSE CAST(a * b AS DECIMAL(38, 9)) END;
CREATE MACRO bq_divide_float(a, b) AS
    CASE WHEN b = 0 THEN CAST(error('division by zero: ' || a || ' / ' || b) AS DOUBLE)
         WHEN isinf(a / b) AND NOT isinf(a) THEN CAST(error('double overflow') AS DOUBLE)
         ELSE a / b END;
CREATE MACRO bq_safe_divide_float(a, b) AS CASE WHEN b = 0 THEN NULL ELSE a / b END;
CREATE MACRO bq_div(a, b) AS
    CASE WHEN b = 0 THEN CAST(error('division by zero: DIV(' || a || ', 0)') AS BIGINT)
         ELSE CAST(a // b AS BIGINT) END;
CREATE MACRO bq_mod(a, b) AS
    CASE WHEN b = 0 THEN error('division by zero: MOD(' || a || ', 0)') ELSE a % b END;

-- Text of values: shortest, without trailing zeros.
CREATE MACRO bq_numeric_text(x) AS
    CASE WHEN contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.')
         ELSE CAST(x AS VARCHAR) END;
CREATE MACRO bq_float_text(x) AS
    CASE WHEN isnan(x) THEN 'nan' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'inf' ELSE '-inf' END
         WHEN x = 0 THEN '0'
         WHEN CAST(format('{:.15g}', x) AS DOUBLE) = x THEN format('{:.15g}', x)
         ELSE format('{:.17g}', x) END;

-- What the REST API writes: seconds since 1970 with six decimals, and floats that read back the same.
CREATE MACRO bq_seconds_text(us) AS
    CAST(CAST(us AS DECIMAL(20, 0)) * CAST('0.000001' AS DECIMAL(6, 6)) AS VARCHAR);
CREATE MACRO bq_float_json(x) AS
    CASE WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN CASE WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END
         ELSE CAST(x AS VARCHAR) END;

-- Functions of FLOAT64, with errors where BigQuery has them.
CREATE MACRO bq_finite(r, a, b) AS
    CASE WHEN isinf(r) AND NOT isinf(a) AND NOT isinf(b) THEN CAST(error('double overflow') AS DOUBLE) ELSE r END;
CREATE MACRO bq_sqrt(x) AS CASE WHEN x < 0 THEN CAST(error('Argument to SQRT cannot be negative') AS DOUBLE)
    ELSE sqrt(x) END;
CREATE MACRO bq_ln(x) AS CASE WHEN x <= 0 THEN CAST(error('Argument to LN must be positive') AS DOUBLE)
    ELSE ln(x) END;
CREATE MACRO bq_exp(x) AS bq_finite(exp(x), x, x);
-- Texts that may become a value of another type. DuckDB takes more; what BigQuery would not take is
-- made into something that no cast takes.
CREATE MACRO bq_text_like(s, pattern) AS
    CASE WHEN regexp_full_match(s, pattern) THEN s ELSE '(not such a value) ' || s END;
CREATE MACRO bq_whole_text(s) AS bq_text_like(s, '\s*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)\s*');
CREATE MACRO bq_bool_text(s) AS bq_text_like(s, '(?i)true|false');
CREATE MACRO bq_date_text(s) AS bq_text_like(s, '[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}');
CREATE MACRO bq_instant_text(s) AS
    bq_text_like(s, '[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}([ tT][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,6})?)?)?'
        || '( ?([zZ]|UTC|[+-][0-9]{1,2}(:[0-9]{2})?))?');
CREATE MACRO bq_timestamp_text(t) AS
    strftime(t, '%Y-%m-%d %H:%M:%S') ||
    CASE WHEN epoch_us(t) % 1000000 = 0 THEN '' WHEN epoch_us(t) % 1000 = 0 THEN strftime(t, '.%g')
         ELSE strftime(t, '.%f') END || '+00';
CREATE MACRO bq_nan() AS CAST('NaN' AS DOUBLE);

-- x IN UNNEST(array): false for an empty or null array, null where a null might be the one.
CREATE MACRO bq_in_array(x, a) AS
    CASE WHEN a IS NULL OR len(a) = 0 THEN FALSE WHEN x IS NULL THEN NULL WHEN list_contains(a, x) THEN TRUE
         WHEN list_count(a) < len(a) THEN NULL ELSE FALSE END;

-- Weeks: `offset` is the number of days by which they begin after Monday (Sunday: -1).
CREATE MACRO bq_week_start(d, offset_days) AS
    CAST(date_trunc('week', d - CAST(offset_days AS INTEGER)) AS DATE) + CAST(offset_days AS INTEGER);
CREATE MACRO bq_iso_year_start(d) AS
    CAST(date_trunc('week', make_date(CAST(date_part('isoyear', d) AS BIGINT), 1, 4)) AS DATE);
CREATE MACRO bq_iso_year_diff(a, b) AS CAST(date_part('isoyear', a) - date_part('isoyear', b) AS BIGINT);
CREATE MACRO bq_day_of_week(d) AS date_part('dow', d) + 1;
-- Weeks begin on Sunday; the days before the year's first Sunday are in week 0.
CREATE MACRO bq_week_number(d) AS (date_part('doy', d) + 6 - date_part('dow', d)) // 7;
CREATE MACRO bq_millisecond(t) AS date_part('milliseconds', t) % 1000;
CREATE MACRO bq_microsecond(t) AS date_part('microseconds', t) % 1000000;
-- Computed dates and instants: DuckDB's calendar goes on where BigQuery's ends.
CREATE MACRO bq_existing_date(d) AS
    CASE WHEN d NOT BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'
         THEN CAST(error('Date out of range: ' || CAST(d AS VARCHAR)) AS DATE) ELSE d END;
CREATE MACRO bq_existing_instant(t) AS
    CASE WHEN t NOT BETWEEN TIMESTAMPTZ '0001-01-01 00:00:00+00' AND TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'
         THEN CAST(error('Timestamp out of range: ' || CAST(t AS VARCHAR)) AS TIMESTAMPTZ) ELSE t END;
CREATE MACRO bq_floor_div(a, b) AS (a - ((a % b) + b) % b) // b;

-- Texts: positions from the end, lengths that must not be negative, all white space.
CREATE MACRO bq_from(s, p) AS
    CASE WHEN p > 0 THEN p WHEN p = 0 OR -p > length(s) THEN 1 ELSE length(s) + p + 1 END;
CREATE MACRO bq_substr(s, p) AS substring(s, bq_from(s, p));
CREATE MACRO bq_substr_length(s, p, n) AS
    CASE WHEN n < 0 THEN error('Third argument in SUBSTR() cannot be negative')
         ELSE substring(s, bq_from(s, p), n) END;
CREATE MACRO bq_left(s, n) AS
    CASE WHEN n < 0 THEN error('Second argument in LEFT() cannot be negative') ELSE "left"(s, n) END;
CREATE MACRO bq_right(s, n) AS
    CASE WHEN n < 0 THEN error('Second argument in RIGHT() cannot be negative') ELSE "right"(s, n) END;
CREATE MACRO bq_trim(s) AS regexp_replace(s, '^[\s\p{Z}\x{0085}]+|[\s\p{Z}\x{0085}]+$', '', 'g');
CREATE MACRO bq_ltrim(s) AS regexp_replace(s, '^[\s\p{Z}\x{0085}]+', '');
CREATE MACRO bq_rtrim(s) AS regexp_replace(s, '[\s\p{Z}\x{0085}]+$', '');
CREATE MACRO bq_upper(s) AS upper(replace(s, 'ß', 'SS'));
CREATE MACRO bq_lower(s) AS lower(replace(s, 'İ', 'i̇'));
CREATE MACRO bq_replace(s, a, b) AS CASE WHEN a = '' THEN s ELSE replace(s, a, b) END;
CREATE MACRO bq_regexp_extract(s, r, g) AS
    CASE WHEN regexp_matches(s, r) THEN regexp_extract(s, r, g) END;
CREATE MACRO bq_one_if(condition) AS CASE WHEN condition THEN 1 END;

-- Elements of arrays, counted from 1; outside there is an error, or null for the safe one.
CREATE MACRO bq_element(a, i) AS
    CASE WHEN i < 1 OR i > len(a) THEN error('Array index ' || (i - 1) || ' is out of bounds') ELSE a[i] END;
CREATE MACRO bq_safe_element(a, i) AS CASE WHEN i >= 1 THEN a[i] END;
-- What a column of arrays stores: nothing instead of null, and no null among the elements.
CREATE MACRO bq_stored_array(a) AS
    CASE WHEN a IS NULL THEN [] WHEN list_count(a) < len(a)
         THEN error('Array cannot have a null element; error in writing field') ELSE a END;
CREATE MACRO bq_array_concat(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE list_concat(a, b) END;
CREATE MACRO bq_md5_byte(s) AS md5_number(s) & 255;
