-- What the rows of product_performance were computed with: one basis, unless a refresh was interrupted.
SELECT DISTINCT basis
FROM product_performance
