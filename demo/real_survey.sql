-- The forms of the survey: one row an interview, as they are published, with blanks as NULL. NETPRO 11 is a blank
-- form, and of the ratings Q7... 0 is blank and 6 "not used".
CREATE TABLE survey (
    "RESPNUM"       integer     PRIMARY KEY,
    interviewed_at  timestamptz NOT NULL,
    boarding_area   text,
    "NETPRO"        smallint,
    "Q7ART"         smallint,
    "Q7FOOD"        smallint,
    "Q7STORE"       smallint,
    "Q7SIGN"        smallint,
    "Q7WALKWAYS"    smallint,
    "Q7SCREENS"     smallint,
    "Q7WIFI"        smallint,
    "Q7ROADS"       smallint,
    "Q7PARK"        smallint,
    "Q7AIRTRAIN"    smallint
);

CREATE FUNCTION pg_temp.rating(answer text) RETURNS smallint
LANGUAGE sql IMMUTABLE
RETURN nullif(nullif(nullif(answer, ''), '0'), '6')::smallint;

INSERT INTO survey
SELECT
    "RESPNUM"::integer,
    make_timestamptz(2017, 5, "INTDATE"::integer, 12, 0, 0, 'America/Los_Angeles'),
    "BAREA",
    nullif(nullif("NETPRO", ''), '11')::smallint,
    pg_temp.rating("Q7ART"),
    pg_temp.rating("Q7FOOD"),
    pg_temp.rating("Q7STORE"),
    pg_temp.rating("Q7SIGN"),
    pg_temp.rating("Q7WALKWAYS"),
    pg_temp.rating("Q7SCREENS"),
    pg_temp.rating("Q7WIFI"),
    pg_temp.rating("Q7ROADS"),
    pg_temp.rating("Q7PARK"),
    pg_temp.rating("Q7AIRTRAIN")
FROM form;
