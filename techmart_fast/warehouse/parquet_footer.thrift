// The footer of a Parquet file, as far as a file that this project writes may use it.
//
// Numbers and types of the fields are those of the format. Every enumeration is an i32 here: its
// values are carried over, never looked at. What is not named here (encryption, page indexes, Bloom
// filters, shapes on the globe) is not understood, and a file that has it is not joined: its
// offsets would have to be shifted, too, or its meaning known.

struct Nothing {
}

union TimeUnit {
  1: Nothing milliseconds
  2: Nothing microseconds
  3: Nothing nanoseconds
}

struct DecimalType {
  1: required i32 scale
  2: required i32 precision
}

struct ClockType {
  1: required bool is_adjusted_to_utc
  2: required TimeUnit unit
}

struct IntegerType {
  1: required i8 bits
  2: required bool is_signed
}

union LogicalType {
  1: Nothing text
  2: Nothing map_of
  3: Nothing list_of
  4: Nothing enumeration
  5: DecimalType decimal
  6: Nothing date
  7: ClockType time
  8: ClockType timestamp
  10: IntegerType integer
  11: Nothing always_null
  12: Nothing json
  13: Nothing bson
  14: Nothing uuid
  15: Nothing half_float
}

struct SchemaElement {
  1: optional i32 physical_type
  2: optional i32 type_length
  3: optional i32 repetition
  4: required binary name
  5: optional i32 children
  6: optional i32 converted_type
  7: optional i32 scale
  8: optional i32 precision
  9: optional i32 field_id
  10: optional LogicalType logical_type
}

struct KeyValue {
  1: required binary key
  2: optional binary value
}

struct Statistics {
  1: optional binary old_max
  2: optional binary old_min
  3: optional i64 nulls
  4: optional i64 distinct_values
  5: optional binary max
  6: optional binary min
  7: optional bool max_is_exact
  8: optional bool min_is_exact
}

struct SizeStatistics {
  1: optional i64 plain_bytes
  2: optional list<i64> repetition_levels
  3: optional list<i64> definition_levels
}

struct PageCount {
  1: required i32 page_type
  2: required i32 encoding
  3: required i32 pages
}

struct ColumnMetaData {
  1: required i32 physical_type
  2: required list<i32> encodings
  3: required list<binary> path
  4: required i32 codec
  5: required i64 values
  6: required i64 uncompressed_bytes
  7: required i64 compressed_bytes
  8: optional list<KeyValue> key_values
  9: required i64 data_page_offset
  10: optional i64 index_page_offset
  11: optional i64 dictionary_page_offset
  12: optional Statistics statistics
  13: optional list<PageCount> page_counts
  16: optional SizeStatistics size_statistics
}

struct ColumnChunk {
  1: optional binary file_path
  2: required i64 file_offset
  3: optional ColumnMetaData meta_data
}

struct SortingColumn {
  1: required i32 column
  2: required bool descending
  3: required bool nulls_first
}

struct RowGroup {
  1: required list<ColumnChunk> columns
  2: required i64 bytes
  3: required i64 rows
  4: optional list<SortingColumn> sorting_columns
  5: optional i64 file_offset
  6: optional i64 compressed_bytes
  7: optional i16 ordinal
}

union ColumnOrder {
  1: Nothing by_type
}

struct FileMetaData {
  1: required i32 version
  2: required list<SchemaElement> schema
  3: required i64 rows
  4: required list<RowGroup> row_groups
  5: optional list<KeyValue> key_values
  6: optional binary created_by
  7: optional list<ColumnOrder> column_orders
}
