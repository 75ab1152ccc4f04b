-- Telling listeners: cx.outbox holds what they are told, written in the transaction that it is about.

CREATE FUNCTION cxm.notify_mode() RETURNS text
AS 'MODULE_PATHNAME', 'cxm_get_notify_mode'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.notify_mode() IS
'Who sends what this session posts, which is the setting cxm.notify_mode as far as the server can follow it: worker (the background worker of the database), direct (the transaction that posts, at its commit; also where the setting says worker and the server has not preloaded cxm) or off (nobody until cxm.send_outbox() is called).';

CREATE FUNCTION cxm.post_notifications(channel text, payloads jsonb[]) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_post_notification_array'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;

COMMENT ON FUNCTION cxm.post_notifications(text, jsonb[]) IS
'Posts notifications to the listeners of a channel, each a row of cx.outbox written in the transaction that it is about, and returns how many. They are sent in the order of the array, by whom cxm.notify_mode() says, with "outbox_id" added. A payload holds ids and states, never what a customer wrote, since any role may LISTEN. No payloads (NULL or an empty array) post nothing. Errors: a channel or payload that is NULL (22004), a channel of more than 63 bytes, a payload that is not a JSON object, has the key outbox_id or takes more than 7950 bytes (23514).';

CREATE FUNCTION cxm.wake_notifier() RETURNS void
AS 'MODULE_PATHNAME', 'cxm_wake'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION cxm.wake_notifier() IS
'Has the background worker of this database look for unsent rows of cx.outbox when the transaction commits, and starts one where there is none. cxm.post_notifications() does so by itself; call it after writing to cx.outbox by other means. Does nothing where the server has not preloaded cxm.';

CREATE FUNCTION cxm.send_notification(channel text, outbox_id bigint, payload jsonb) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'cxm_send_notification'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION cxm.send_notification(text, bigint, jsonb) IS
'Gives a payload, a JSON object, to NOTIFY with "outbox_id" as its first key, to be delivered when the transaction commits, and returns the time. By the id listeners know what they have had; without it PostgreSQL would fold equal payloads of a transaction into one. Error 22023: the payload is no object, or NOTIFY does not take it.';

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

    -- from each index as many as could be needed: the oldest of both are sent
    WITH held AS MATERIALIZED (
        SELECT o.outbox_id FROM cx.outbox AS o WHERE o.sent_at IS NULL AND o.held
        ORDER BY o.outbox_id LIMIT max_rows FOR NO KEY UPDATE SKIP LOCKED
    ), waiting AS MATERIALIZED (
        SELECT o.outbox_id FROM cx.outbox AS o WHERE o.sent_at IS NULL AND NOT o.held
        ORDER BY o.outbox_id LIMIT max_rows FOR NO KEY UPDATE SKIP LOCKED
    ), chosen AS MATERIALIZED (
        SELECT h.outbox_id FROM held AS h UNION ALL SELECT w.outbox_id FROM waiting AS w
        ORDER BY 1 LIMIT max_rows
    )
    UPDATE cx.outbox AS o
    SET sent_at = cxm.send_notification(o.channel, o.outbox_id, o.payload)
    FROM (SELECT c.outbox_id FROM chosen AS c ORDER BY c.outbox_id) AS c
    WHERE o.outbox_id = c.outbox_id;

    GET DIAGNOSTICS sent = ROW_COUNT;
    RETURN sent;
END
$$;

COMMENT ON FUNCTION cxm.send_outbox(integer) IS
'Sends the notifications that wait in cx.outbox, at most max_rows of them, oldest first, and returns how many: those written under cxm.notify_mode off, and any that the background worker has not come to. Several sessions and the worker may be at it at once; each notification is sent once.';

CREATE FUNCTION cxm.replay_outbox(after bigint DEFAULT NULL, seen pg_snapshot DEFAULT NULL, only_channel text DEFAULT NULL)
RETURNS TABLE (
    outbox_id bigint,
    channel text,
    payload jsonb,
    created_at timestamptz,
    sent_at timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF after IS NULL AND seen IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'replay_outbox needs an outbox_id or a snapshot',
            HINT = 'Give after => the highest outbox_id that you have had, or seen => the pg_current_snapshot() of your last look.';
    END IF;

    -- A row whose transaction this cluster has not reached yet was restored or replicated from another one;
    -- snapshots of this cluster say nothing about it.
    RETURN QUERY
    SELECT o.outbox_id, o.channel, jsonb_build_object('outbox_id', o.outbox_id) || o.payload, o.created_at, o.sent_at
    FROM (
        -- as the indexes have them
        SELECT s.* FROM cx.outbox AS s WHERE s.sent_at IS NOT NULL
        UNION ALL
        SELECT w.* FROM cx.outbox AS w WHERE w.sent_at IS NULL AND NOT w.held
        UNION ALL
        SELECT h.* FROM cx.outbox AS h WHERE h.sent_at IS NULL AND h.held
    ) AS o
    WHERE (after IS NULL OR o.outbox_id > after)
      AND (only_channel IS NULL OR o.channel = only_channel)
      AND (seen IS NULL
           OR (o.posted_xid >= pg_snapshot_xmin(seen)
               AND NOT pg_visible_in_snapshot(o.posted_xid, seen)
               AND (o.posted_xid < pg_snapshot_xmax(pg_current_snapshot())
                    OR o.posted_xid IS NOT DISTINCT FROM pg_current_xact_id_if_assigned())))
    ORDER BY o.outbox_id;
END
$$;

COMMENT ON FUNCTION cxm.replay_outbox(bigint, pg_snapshot, text) IS
'Notifications for a listener that was away, oldest first, sent ones and those that wait, with the payload that it was or will be sent; of only_channel, or of all channels. after: those with a higher outbox_id; one whose transaction was still open when you last looked may have a lower one. seen: exactly those that were not visible in that snapshot (pg_current_snapshot() of your last look), none missed and none twice, in the cluster that wrote them. Both: those that meet both. What cxm.forget_notifications() deleted is gone. Error 22023: neither.';

CREATE FUNCTION cxm.notifier_status(
    OUT preloaded boolean,
    OUT state text,
    OUT worker_pid integer,
    OUT started_at timestamptz,
    OUT batches bigint,
    OUT sent bigint,
    OUT last_sent_at timestamptz,
    OUT last_error text,
    OUT last_error_at timestamptz
) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_notifier_status'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.notifier_status() IS
'What the server''s memory has of this database''s background worker; cx.notifier_status shows it with what the outbox says, and describes the columns.';

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

-- a store may be there already, with notifications that wait
SELECT cxm.wake_notifier();
