-- public.bare: the columns, indexes and constraints of cx.feedback, checked in SQL, as people write it by hand
CREATE TABLE public.bare (LIKE cx.feedback INCLUDING ALL);
ALTER TABLE public.bare
    DROP CONSTRAINT feedback_check,
    ADD CHECK (occurred_at >= '4000-01-01 00:00+00 BC' AND occurred_at < '200000-01-01 00:00+00'),
    ADD CHECK (scale_min >= -128 AND scale_max <= 127 AND scale_max > scale_min AND scale_max - scale_min <= 10),
    ADD CHECK (score BETWEEN scale_min AND scale_max),
    ADD CHECK (score IS NOT NULL OR comment IS NOT NULL);
