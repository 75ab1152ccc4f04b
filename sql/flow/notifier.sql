-- Telling listeners: cx.outbox holds what they are told, written in the transaction that it is about.

CREATE FUNCTION cxm.notify_mode() RETURNS text
AS 'MODULE_PATHNAME', 'cxm_get_notify_mode'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.notify_mode() IS
'The setting cxm.notify_mode of this session: direct (the transaction that raises an alert sends its notification at commit) or off (nobody does until cxm.send_outbox() is called).';

CREATE FUNCTION cxm.send_notification(channel text, payload jsonb) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify(channel, payload::text);
    RETURN clock_timestamp();
END
$$;

COMMENT ON FUNCTION cxm.send_notification(text, jsonb) IS
'Gives one notification to NOTIFY, to be delivered when the transaction commits, and returns the time. Everything that cxm tells listeners passes here.';

CREATE FUNCTION cxm.post_notifications(channel text, payloads jsonb[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- one notification or a hundred, the plan is the same; making it anew each time costs more than running it
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- a full queue would make the writer's COMMIT fail; what is held back waits in cx.outbox
    direct CONSTANT boolean := cxm.notify_mode() = 'direct' AND pg_notification_queue_usage() < 0.9;
BEGIN
    INSERT INTO cx.outbox (channel, payload, sent_at)
    SELECT post_notifications.channel, p.payload, CASE WHEN direct THEN cxm.send_notification(post_notifications.channel, p.payload) END
    FROM unnest(payloads) WITH ORDINALITY AS p(payload, place)
    ORDER BY p.place;

    RETURN cardinality(payloads);
END
$$;

COMMENT ON FUNCTION cxm.post_notifications(text, jsonb[]) IS
'Posts notifications to the listeners of a channel, each a row of cx.outbox written in the transaction that it is about, and returns how many. Under cxm.notify_mode direct they are sent when the transaction commits, otherwise they wait for cxm.send_outbox(). A payload holds ids and states, never what a customer wrote, since any role may LISTEN; from 8000 bytes on it is an error (23514).';

CREATE FUNCTION cxm.send_outbox(max_rows integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sent integer;
BEGIN
    IF (max_rows > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'max_rows must be greater than zero';
    END IF;

    WITH waiting AS MATERIALIZED (
        SELECT o.outbox_id
        FROM cx.outbox AS o
        WHERE o.sent_at IS NULL
        ORDER BY o.outbox_id
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    )
    UPDATE cx.outbox AS o
    SET sent_at = cxm.send_notification(o.channel, o.payload)
    FROM (SELECT w.outbox_id FROM waiting AS w ORDER BY w.outbox_id) AS w
    WHERE o.outbox_id = w.outbox_id;

    GET DIAGNOSTICS sent = ROW_COUNT;
    RETURN sent;
END
$$;

COMMENT ON FUNCTION cxm.send_outbox(integer) IS
'Sends the notifications that wait in cx.outbox (written under cxm.notify_mode off), at most max_rows of them, oldest first, and returns how many. Several sessions may call it at once; each notification is sent once.';

CREATE FUNCTION cxm.forget_notifications(older_than interval DEFAULT interval '30 days') RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    DELETE FROM cx.outbox AS o WHERE o.sent_at < now() - older_than;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.forget_notifications(interval) IS 'Deletes notifications that were sent longer ago than this from cx.outbox; returns the number of rows. The alerts themselves stay.';
