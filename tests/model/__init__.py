"""An independent model of DOMAIN.md in plain Python: what any right load must end with.

It shares no code with the loader (only the contract's values and the table of countries), knows
nothing of batches or columns, and is written to be obviously right rather than quick.

Where DOMAIN.md leaves something open, the model reads it like this:

1.  Damaged span of a JSON array: up to the next comma after which an *object* parses that is
    followed by a comma or the end of the array. Blank lines of NDJSON and CSV are no records.
2.  Reasons in order: bytes that are not UTF-8, text that does not parse (a lone surrogate makes a
    record unparseable; nesting beyond 1,024 is too deep), not an object, wrong columns; then by
    field, wrong type or NUL; then by field, missing or refused value.
3.  White space is trimmed from every value. Codes are compared without regard to case and kept in
    the contract's spelling. A value map looks at the trimmed value in lower case.
4.  Amount outside the limits comes before amount too precise. Prices have at most two decimals.
    Text that is no id may have 1,000 characters.
5.  A rejected record counts for the day of its timestamp if that is readable and within the limits
    and the record parsed with right types, whatever else is wrong with it.
6.  Revenue, orders, unique customers, first and last order, preferences: completed transactions.
7.  data_quality_score of a day: transactions of the end state on that day ÷ (those + rejected).
8.  A user without orders has NULL for everything that is computed from dates or divides by orders;
    total_spent 0.00, rfm_segment no_orders.
9.  customer_lifetime_value uses the exact churn, days from first order to as_of at least 30.
10. Ties of preferences: most orders, then the latest timestamp of such an order, then the name.
    A product's current category counts; transactions without a product count for no category.
11. RFM: recency days at most, orders and total at least the limits: 3, 2 or else 1 point. The sum:
    8-9 champions, 6-7 loyal, 5 potential, 4 at_risk, 3 lost.
12. inventory_turnover_ratio counts completed orders of the 365 days that end with as_of, likewise
    the two windows of seasonal_trend. days_in_inventory = 365 ÷ the exact ratio, two decimals.
13. base_price is price_usd. Ranks: all products of the category by total_revenue, ties share.
14. Financial periods: those with any transaction of the end state. Cost of goods: completed
    transactions with a product, at its current price_usd. Gross profit = net revenue − cost.
    Everything is rounded once, at the end, half away from zero. revenue_by_*: completed only.
15. day_of_week and ISO weeks start on Monday.
"""

from tests.model.shop import ShopModel

__all__ = ["ShopModel"]
