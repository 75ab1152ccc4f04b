-- The journey as it is meant to be: stages, in order.

CREATE TABLE cx.journey_stage (
    map             text        NOT NULL DEFAULT 'customer' COLLATE "C",
    stage           text        NOT NULL COLLATE "C",
    position        integer     NOT NULL,
    name            text,
    description     text,
    steps           text[]      NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journey_stage_pkey PRIMARY KEY (map, stage),
    CONSTRAINT journey_stage_position_key UNIQUE (map, position) DEFERRABLE,
    CONSTRAINT journey_stage_map_check CHECK (map <> ''),
    CONSTRAINT journey_stage_stage_check CHECK (stage <> ''),
    CONSTRAINT journey_stage_steps_check CHECK (cardinality(steps) > 0 AND array_position(steps, NULL) IS NULL)
);

COMMENT ON TABLE cx.journey_stage IS 'Journey maps: the stages that customers go through, each a set of steps. Set by cxm.set_journey_stage().';
COMMENT ON COLUMN cx.journey_stage.map IS 'The map that the stage belongs to; a store can have several, such as buying and returning.';
COMMENT ON COLUMN cx.journey_stage.stage IS 'Key of the stage in its map.';
COMMENT ON COLUMN cx.journey_stage.position IS 'Its place in the order; numbers may be left out.';
COMMENT ON COLUMN cx.journey_stage.name IS 'Name to show to people; NULL = the key.';
COMMENT ON COLUMN cx.journey_stage.description IS 'What happens there.';
COMMENT ON COLUMN cx.journey_stage.steps IS 'Steps that belong to it, each by a name that cxm.journey_codes() knows: view, purchase, feedback:nps, @checkout ...';
COMMENT ON COLUMN cx.journey_stage.created_at IS 'When the stage was added.';
