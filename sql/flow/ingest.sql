-- What a record looks like on its way in, and the steps that every kind of record takes.
--
-- A record comes as a typed row (cxm.event_input and its kin). The bulk JSON forms, the single forms and attached
-- tables all build such rows and hand an array of them to one function a kind: cxm.store_events(),
-- cxm.store_feedback(), cxm.store_purchases(), cxm.store_traits(). Those check each row, put what is wrong into
-- cx.rejection, and take the rest set-wise.

CREATE TYPE cxm.event_input AS (
    message_id      text,
    at              timestamptz,
    event           text,
    identifiers     jsonb,
    touchpoint      text,
    location        text,
    product         text,
    employee        text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.event_input IS
'An event on its way into cx.event. message_id: the sender''s id or NULL; at: when; event: its name; identifiers: {"namespace": "value", ...}; touchpoint, location, product, employee: keys; reason: why it is known to be bad already, or NULL; raw: the record as it came, kept when it is refused.';

CREATE TYPE cxm.feedback_input AS (
    message_id      text,
    at              timestamptz,
    metric          text,
    score           numeric,
    scale_min       integer,
    scale_max       integer,
    comment         text,
    identifiers     jsonb,
    touchpoint      text,
    location        text,
    product         text,
    employee        text,
    submission_id   text,
    question        text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.feedback_input IS
'An answer on its way into cx.feedback. As cxm.event_input, with metric, score (whole), its scale (NULL = the metric''s usual one), comment, and the submission and question that it belongs to.';

CREATE TYPE cxm.purchase_input AS (
    message_id      text,
    at              timestamptz,
    order_id        text,
    product         text,
    quantity        numeric,
    amount          numeric,
    currency        text,
    identifiers     jsonb,
    touchpoint      text,
    location        text,
    employee        text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.purchase_input IS
'A purchase on its way into cx.purchase. As cxm.event_input, with order, quantity (NULL = 1), amount of the whole line and currency.';

CREATE TYPE cxm.traits_input AS (
    message_id      text,
    at              timestamptz,
    identifiers     jsonb,
    traits          jsonb,
    verified        boolean,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.traits_input IS
'What a source says of a person, on its way into cx.trait and cx.link. identifiers: all that are known to be this person''s; traits: {"name": value, ...}; verified: whether the person proved them.';

CREATE TYPE cxm.ingest_result AS (
    accepted        bigint,
    updated         bigint,
    duplicates      bigint,
    rejected        bigint,
    blank           bigint,
    record_ids      bigint[]
);

COMMENT ON TYPE cxm.ingest_result IS
'What became of a batch: rows stored, stored rows changed (attached tables only), rows that were stored before, rows in cx.rejection, rows with nothing in them (attached tables only), and the id of each row''s record in the order given (NULL = not stored).';
