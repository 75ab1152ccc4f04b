-- What the overall rating is made of: every version that ever held.

CREATE TABLE cx.overall_rating_version (
    version         integer     NOT NULL,
    min_weight      double precision NOT NULL DEFAULT 0.5,
    reason          text        NOT NULL,
    set_at          timestamptz NOT NULL DEFAULT now(),
    set_by          text        NOT NULL DEFAULT session_user,
    CONSTRAINT overall_rating_version_pkey PRIMARY KEY (version),
    CONSTRAINT overall_rating_version_check CHECK (version > 0),
    CONSTRAINT overall_rating_version_min_weight_check CHECK (min_weight > 0 AND min_weight <= 1),
    CONSTRAINT overall_rating_version_reason_check CHECK (reason <> '')
);

COMMENT ON TABLE cx.overall_rating_version IS 'Versions of the overall rating. Set by cxm.set_overall_rating(); a version never changes, a newer one holds from then on.';
COMMENT ON COLUMN cx.overall_rating_version.version IS 'Number of the version; the highest holds now.';
COMMENT ON COLUMN cx.overall_rating_version.min_weight IS 'Share of the weight (above 0, at most 1) whose parts must be there; with less there is no rating.';
COMMENT ON COLUMN cx.overall_rating_version.reason IS 'Why it is as it is.';
COMMENT ON COLUMN cx.overall_rating_version.set_at IS 'When it was set: it rates the periods that end later, until the next version.';
COMMENT ON COLUMN cx.overall_rating_version.set_by IS 'Session user that set it.';

CREATE TABLE cx.overall_rating_part (
    version         integer     NOT NULL,
    measure         text        NOT NULL COLLATE "C",
    unit            text,
    weight          double precision NOT NULL,
    worst           double precision NOT NULL,
    best            double precision NOT NULL,
    CONSTRAINT overall_rating_part_pkey PRIMARY KEY (version, measure),
    CONSTRAINT overall_rating_part_version_fkey FOREIGN KEY (version) REFERENCES cx.overall_rating_version (version),
    CONSTRAINT overall_rating_part_weight_check CHECK (weight > 0 AND weight < 'infinity'),
    CONSTRAINT overall_rating_part_ends_check CHECK (worst > '-infinity' AND worst < 'infinity' AND best > '-infinity' AND best < 'infinity' AND worst <> best)
);

COMMENT ON TABLE cx.overall_rating_part IS 'What each version of the overall rating is made of.';
COMMENT ON COLUMN cx.overall_rating_part.version IS 'The version (cx.overall_rating_version).';
COMMENT ON COLUMN cx.overall_rating_part.measure IS 'Measure of the scorecard, such as nps or churn_rate.';
COMMENT ON COLUMN cx.overall_rating_part.unit IS 'Unit of the measure that counts, such as EUR; NULL = the only one that it comes in, and where it comes in several the part is missing.';
COMMENT ON COLUMN cx.overall_rating_part.weight IS 'How much it counts, beside the other parts; any finite number above zero.';
COMMENT ON COLUMN cx.overall_rating_part.worst IS 'Value that gives 0 points, in the unit of the measure.';
COMMENT ON COLUMN cx.overall_rating_part.best IS 'Value that gives 100 points; below worst where less is better.';

INSERT INTO cx.overall_rating_version (version, reason) VALUES
    (1, 'As shipped: what customers say counts 65, what they do 20, how they are treated 15.');
INSERT INTO cx.overall_rating_part (version, measure, weight, worst, best) VALUES
    (1, 'nps',             30, -100, 100),
    (1, 'csat',            20, 0,    100),
    (1, 'ces',             15, 1,    7),
    (1, 'retention_rate',  20, 0,    100),
    (1, 'complaint_rate',  10, 10,   0),
    (1, 'first_response',  5,  48,   0);

CREATE TRIGGER overall_rating_version_keep
    BEFORE UPDATE OR DELETE ON cx.overall_rating_version
    FOR EACH STATEMENT
    EXECUTE FUNCTION cxm.keep_overall_rating();

CREATE TRIGGER overall_rating_part_keep
    BEFORE UPDATE OR DELETE ON cx.overall_rating_part
    FOR EACH STATEMENT
    EXECUTE FUNCTION cxm.keep_overall_rating();
