-- The database gets an id, with which the warehouse that it feeds is labelled.

CREATE TABLE techmart_loader.identity (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    database_id     uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE techmart_loader.identity IS
    'Whose rows a warehouse holds: its tables are labelled with the id of the database.';
INSERT INTO techmart_loader.identity DEFAULT VALUES;
