-- Runs once, with an empty volume. The servers' role owns nothing, and the database stays empty.
CREATE ROLE lab LOGIN;
REVOKE TEMPORARY ON DATABASE lab FROM PUBLIC;
