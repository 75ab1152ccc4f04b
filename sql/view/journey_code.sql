-- What the codes in journeys stand for.

CREATE OR REPLACE VIEW cx.journey_code AS
SELECT DISTINCT
    e.code,
    e.kind,
    e.event_type_id,
    e.metric,
    e.touchpoint_id
FROM cx.journey_code_entry AS e;

COMMENT ON VIEW cx.journey_code IS 'What the codes in journeys stand for: a row a step, which is a kind of record with its event type or metric and its touchpoint. cxm.journey_step(code) has the name of one, cxm.journey_codes(step) the codes of a name.';
COMMENT ON COLUMN cx.journey_code.code IS 'The code; given out when the step is first seen, and never again to another.';
COMMENT ON COLUMN cx.journey_code.kind IS 'Kind of record: event, purchase or feedback.';
COMMENT ON COLUMN cx.journey_code.event_type_id IS 'Of an event its type (cx.event_type); NULL otherwise.';
COMMENT ON COLUMN cx.journey_code.metric IS 'Of feedback its metric (cx.metric); NULL otherwise.';
COMMENT ON COLUMN cx.journey_code.touchpoint_id IS 'Touchpoint of the record (cx.touchpoint); NULL = the record names none.';
