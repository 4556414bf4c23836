-- Rows that a module's tables have, and up to some thousand more: it is written ahead, and where SQLite does not tell
-- how many a statement took away, they stay counted until there are too many, and then the tables are counted. Of a
-- module that was there before nobody has counted, so that happens when it adds a row; doing it here could keep a
-- station with large tables from starting.
ALTER TABLE modules ADD COLUMN sql_rows INTEGER NOT NULL DEFAULT 0;

UPDATE modules SET sql_rows = 9223372036854775807;
