-- Takes users out of the rollup that a repair took out of users.
DELETE FROM user_analytics
WHERE user_id NOT IN (SELECT user_id FROM users)
