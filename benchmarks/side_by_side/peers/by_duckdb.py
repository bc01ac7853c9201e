"""DuckDB's reading of the raw file."""

QUERY = """SELECT * FROM read_json($raw, format = 'newline_delimited', columns = {
    transaction_id: 'VARCHAR', user_id: 'VARCHAR', product_id: 'VARCHAR',
    amount: 'DECIMAL(12, 2)', currency: 'VARCHAR', timestamp: 'TIMESTAMP',
    payment_method: 'VARCHAR', status: 'VARCHAR'})"""
