-- Replaces the products of some buckets (the first byte of the key's MD5) by a group's staging table;
-- see repair/transactions.
MERGE products AS T
USING (SELECT * FROM staging_products) AS S
ON FALSE
WHEN NOT MATCHED BY SOURCE
  AND CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(T.product_id)), 1, 2)) AS INT64) IN UNNEST(@buckets)
  THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT (
  product_id, name, category, price, currency, price_usd, inventory_count, supplier_id,
  inventory_status, price_tier, source_ordinal, source_offset, is_active, catalogue_ordinal,
  batch_id
) VALUES (
  S.product_id, S.name, S.category, S.price, S.currency, S.price_usd, S.inventory_count,
  S.supplier_id, S.inventory_status, S.price_tier, S.source_ordinal, S.source_offset, S.is_active,
  S.catalogue_ordinal, S.batch_id
)
