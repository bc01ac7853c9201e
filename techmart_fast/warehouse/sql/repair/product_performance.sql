-- Takes products out of the rollup that a repair took out of products.
DELETE FROM product_performance
WHERE product_id NOT IN (SELECT product_id FROM products)
