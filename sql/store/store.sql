-- The store itself: one row that says what this store is and how it reads the clock.

CREATE SCHEMA cx;

COMMENT ON SCHEMA cx IS
'The cxm store: ordinary tables, views and triggers owned by whoever ran cxm.create_store(). Add columns, indexes and policies as to any table of yours; they are dumped and restored with it.';

CREATE TABLE cx.store (
    singleton       boolean     NOT NULL DEFAULT true,
    version         text        NOT NULL,
    time_zone       text        NOT NULL,
    week_start      smallint    NOT NULL DEFAULT 1,
    max_future      interval    NOT NULL DEFAULT interval '1 day',
    rules_version   integer     NOT NULL DEFAULT 1,
    complaint_types text[]      COLLATE "C" NOT NULL DEFAULT '{complaint}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    upgraded_at     timestamptz,
    CONSTRAINT store_pkey PRIMARY KEY (singleton),
    CONSTRAINT store_singleton_check CHECK (singleton),
    CONSTRAINT store_week_start_check CHECK (week_start BETWEEN 1 AND 7),
    CONSTRAINT store_max_future_check CHECK (max_future >= interval '0')
);

COMMENT ON TABLE cx.store IS 'The store''s own version and settings; exactly one row.';
COMMENT ON COLUMN cx.store.singleton IS 'Always true: the key that keeps this table at one row.';
COMMENT ON COLUMN cx.store.version IS 'Version of cxm whose shape the tables have; cxm.upgrade_store() brings it to cxm.version().';
COMMENT ON COLUMN cx.store.time_zone IS 'Time zone, by IANA name, in which views cut days, weeks and months, and in which attached timestamps without a zone are read.';
COMMENT ON COLUMN cx.store.week_start IS 'First day of the week in views: 1 = Monday ... 7 = Sunday (ISO day number).';
COMMENT ON COLUMN cx.store.max_future IS 'How far in the future a record''s time may lie before it is refused: a clock may be wrong, but not by more than this.';
COMMENT ON COLUMN cx.store.rules_version IS 'Raised by every change of the rules of identity resolution (cx.namespace, cx.blocked_value).';
COMMENT ON COLUMN cx.store.complaint_types IS 'Keys of the event types (cx.event_type) that are complaints, for the complaint rate of cx.scorecard. Yours to change.';
COMMENT ON COLUMN cx.store.created_at IS 'When cxm.create_store() was run.';
COMMENT ON COLUMN cx.store.upgraded_at IS 'When cxm.upgrade_store() last changed the store; NULL when never.';

CREATE TRIGGER store_zone
    BEFORE INSERT OR UPDATE OF time_zone ON cx.store
    FOR EACH ROW
    WHEN (NEW.time_zone IS NOT NULL)
    EXECUTE FUNCTION cxm.check_time_zone();
