-- Merges a group's staging table into the products: newest source position per id, only if newer.
--
-- A product that a complete catalogue lacks is deactivated at the position it has; catalogue_ordinal,
-- which then grows, is the last part of the position.
MERGE products AS T
USING (
  SELECT *
  FROM staging_products
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY product_id ORDER BY source_ordinal DESC, source_offset DESC, catalogue_ordinal DESC
  ) = 1
) AS S
ON T.product_id = S.product_id
WHEN MATCHED AND (
  S.source_ordinal > T.source_ordinal
  OR (S.source_ordinal = T.source_ordinal AND S.source_offset > T.source_offset)
  OR (
    S.source_ordinal = T.source_ordinal
    AND S.source_offset = T.source_offset
    AND S.catalogue_ordinal > T.catalogue_ordinal
  )
) THEN UPDATE SET
  name = S.name,
  category = S.category,
  price = S.price,
  currency = S.currency,
  price_usd = S.price_usd,
  inventory_count = S.inventory_count,
  supplier_id = S.supplier_id,
  inventory_status = S.inventory_status,
  price_tier = S.price_tier,
  source_ordinal = S.source_ordinal,
  source_offset = S.source_offset,
  is_active = S.is_active,
  catalogue_ordinal = S.catalogue_ordinal,
  batch_id = S.batch_id
WHEN NOT MATCHED THEN INSERT (
  product_id, name, category, price, currency, price_usd, inventory_count, supplier_id,
  inventory_status, price_tier, source_ordinal, source_offset, is_active, catalogue_ordinal,
  batch_id
) VALUES (
  S.product_id, S.name, S.category, S.price, S.currency, S.price_usd, S.inventory_count,
  S.supplier_id, S.inventory_status, S.price_tier, S.source_ordinal, S.source_offset, S.is_active,
  S.catalogue_ordinal, S.batch_id
)
