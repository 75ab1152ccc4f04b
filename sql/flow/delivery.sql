-- The way out: a queue that senders outside claim from, acknowledge to and report to.
--
-- pending -> claimed -> sent, or back to pending to be tried again, or dead; cancelled before it was sent. A claim that
-- lapses needs no upkeep: due_at of a claimed delivery is the end of its lease, and the queue is what is due.
--
-- That a message went out is a fact: an acknowledgement holds whatever became of the claim meanwhile, and what was out of
-- order about it is noted in cx.delivery_event.

---- channels

CREATE FUNCTION cxm.check_delivery_channels(channels text[]) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    SELECT coalesce(quote_ident(c.channel), 'NULL') INTO unknown
    FROM (SELECT DISTINCT u AS channel FROM unnest(channels) AS u) AS c
    WHERE NOT EXISTS (SELECT FROM cx.delivery_channel AS k WHERE k.channel = c.channel COLLATE "C")
    LIMIT 1;

    IF FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('delivery channel %s does not exist', unknown),
            DETAIL = format('The channels are %s.', (SELECT string_agg(k.channel, ', ' ORDER BY k.channel) FROM cx.delivery_channel AS k)),
            HINT = 'Add one of your own with cxm.set_delivery_channel().';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_delivery_channels(text[]) IS 'Error 42704, naming those that exist, when one of the channels does not.';

CREATE FUNCTION cxm.set_delivery_channel(channel text, changes jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting record;
    unknown text;
BEGIN
    PERFORM cxm.store_version();

    IF channel IS NULL OR channel !~ '^[a-z][a-z0-9_]{0,62}$' THEN
        RAISE invalid_name USING
            MESSAGE = format('delivery channel %s is not a name', coalesce('"' || channel || '"', 'NULL')),
            HINT = 'Use lower-case letters, digits and underscores, beginning with a letter.';
    END IF;

    IF jsonb_typeof(changes) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('changes to delivery channel "%s" are not a JSON object', channel),
            HINT = 'Give what changes, such as {"max_attempts": 5, "retry_after": "1 minute"}.';
    END IF;

    SELECT string_agg(quote_ident(k), ', ' ORDER BY k) INTO unknown
    FROM jsonb_object_keys(changes) AS k
    WHERE k NOT IN ('description', 'namespaces', 'max_attempts', 'retry_after', 'retry_limit', 'jitter');

    IF unknown IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('delivery channel "%s" cannot be changed in %s', channel, unknown),
            HINT = 'What can change is description, namespaces, max_attempts, retry_after, retry_limit and jitter.';
    END IF;

    INSERT INTO cx.delivery_channel AS k (channel) VALUES (set_delivery_channel.channel) ON CONFLICT ON CONSTRAINT delivery_channel_pkey DO NOTHING;

    SELECT s.* INTO setting
    FROM (SELECT k.* FROM cx.delivery_channel AS k WHERE k.channel = set_delivery_channel.channel FOR UPDATE) AS k
    CROSS JOIN LATERAL jsonb_to_record(to_jsonb(k) || changes)
        AS s(description text, namespaces text[], max_attempts integer, retry_after interval, retry_limit interval, jitter double precision);

    SELECT quote_ident(n) INTO unknown
    FROM unnest(setting.namespaces) AS n
    WHERE NOT EXISTS (SELECT FROM cx.namespace AS s WHERE s.namespace = n COLLATE "C")
    LIMIT 1;

    IF FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('namespace %s does not exist', coalesce(unknown, 'NULL')),
            DETAIL = format('The namespaces are %s.', (SELECT string_agg(s.namespace, ', ' ORDER BY s.namespace) FROM cx.namespace AS s)),
            HINT = 'Add one of your own with cxm.add_namespace().';
    END IF;

    UPDATE cx.delivery_channel AS k
    SET description = setting.description, namespaces = setting.namespaces, max_attempts = setting.max_attempts,
        retry_after = setting.retry_after, retry_limit = setting.retry_limit, jitter = setting.jitter
    WHERE k.channel = set_delivery_channel.channel;
END
$$;

COMMENT ON FUNCTION cxm.set_delivery_channel(text, jsonb) IS
'Adds a delivery channel, or changes one. changes is a JSON object with columns of cx.delivery_channel: description, namespaces (an array of names, or null: no address is needed), max_attempts, retry_after, retry_limit, jitter; what is not in it stays. Errors: a malformed name, an unknown key (22023), an unknown namespace (42704), a value out of range (23514).';

CREATE FUNCTION cxm.delivery_address(identifier_id bigint, channel text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    spaces text[];
    own record;
    profiles bigint[];
BEGIN
    SELECT k.namespaces INTO spaces FROM cx.delivery_channel AS k WHERE k.channel = delivery_address.channel;

    IF NOT FOUND THEN
        PERFORM cxm.check_delivery_channels(ARRAY[channel]);
    END IF;

    SELECT i.namespace, i.value, i.quarantined, p.canonical_id INTO own
    FROM cx.identifier AS i
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    WHERE i.identifier_id = delivery_address.identifier_id;

    -- Who writes from the shop's telephone is answered there, so a generic identifier is an address when it is the one
    -- that was named; it leads to no other.
    IF (spaces IS NULL OR own.namespace = ANY (spaces)) AND coalesce(own.quarantined, 'generic') = 'generic' THEN
        RETURN own.value;
    END IF;

    -- first whose, then which: a query for both might be planned to read every identifier
    profiles := own.canonical_id || ARRAY(SELECT p.profile_id FROM cx.profile AS p WHERE p.canonical_id = own.canonical_id AND p.canonical_id <> p.profile_id);

    RETURN (
        SELECT i.value
        FROM cx.identifier AS i
        WHERE i.profile_id = ANY (profiles)
          AND i.namespace = ANY (spaces)
          AND i.quarantined IS NULL
        ORDER BY array_position(spaces, i.namespace), i.identifier_id DESC
        LIMIT 1);
END
$$;

COMMENT ON FUNCTION cxm.delivery_address(bigint, text) IS
'Address of a customer on a delivery channel today: the identifier itself where its kind is one of the channel''s namespaces, or the channel has none; else, of the person whom it belongs to, the newest identifier of the best such kind that is not quarantined. NULL when there is none, or no such identifier. Error 42704: no such channel.';

CREATE FUNCTION cxm.delivery_wait(delivery_id bigint, failures integer, retry_after interval, retry_limit interval, jitter double precision) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT make_interval(secs =>
        least(extract(epoch FROM retry_after)::double precision * 2.0::double precision ^ least(failures - 1, 60),
              extract(epoch FROM retry_limit)::double precision)
        * (1 - jitter * (hashint8extended(delivery_id, failures) & 1048575) / 1048576.0));
$$;

COMMENT ON FUNCTION cxm.delivery_wait(bigint, integer, interval, interval, double precision) IS
'How long a delivery waits after so many failed attempts in a row (1 or more): retry_after, doubled with each further failure up to retry_limit, then shortened by a part of up to jitter (0 to 1) that follows from the delivery and the number of failures and is the same each time it is asked. NULL for NULL.';

---- into the queue

CREATE FUNCTION cxm.enqueue_deliveries(kind text, record_ids bigint[], channels text[], identifier_ids bigint[], payloads jsonb[],
                                       not_before timestamptz[] DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- one delivery or a thousand, the plans are the same; making them anew each time costs more than running them
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    rows CONSTANT integer := cardinality(record_ids);
    place integer;
    delivery_ids bigint[];
BEGIN
    IF enqueue_deliveries.kind IS NULL OR enqueue_deliveries.kind !~ '^[a-z][a-z0-9_]{0,62}$' THEN
        RAISE invalid_name USING
            MESSAGE = format('kind of delivery %s is not a name', coalesce('"' || enqueue_deliveries.kind || '"', 'NULL')),
            HINT = 'Use lower-case letters, digits and underscores, beginning with a letter.';
    END IF;

    IF (cardinality(channels) = rows AND cardinality(identifier_ids) = rows AND cardinality(payloads) = rows
        AND coalesce(cardinality(not_before), rows) = rows) IS NOT TRUE THEN
        RAISE array_subscript_error USING
            MESSAGE = 'arrays of deliveries differ in length',
            DETAIL = format('There are %s record_ids, %s channels, %s identifier_ids, %s payloads and %s times.', coalesce(rows, 0),
                            coalesce(cardinality(channels), 0), coalesce(cardinality(identifier_ids), 0), coalesce(cardinality(payloads), 0),
                            coalesce(cardinality(not_before)::text, 'no')),
            HINT = 'Give one entry a delivery in each; not_before may be left out.';
    END IF;

    PERFORM cxm.check_delivery_channels(channels);

    SELECT p.place INTO place
    FROM unnest(payloads) WITH ORDINALITY AS p(payload, place)
    WHERE jsonb_typeof(p.payload) IS DISTINCT FROM 'object'
    ORDER BY p.place
    LIMIT 1;

    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('payload %s is not a JSON object', place),
            HINT = 'Give what the sender needs, such as {"text": "..."}.';
    END IF;

    SELECT t.place INTO place
    FROM unnest(not_before) WITH ORDINALITY AS t(at, place)
    WHERE NOT isfinite(t.at)
    ORDER BY t.place
    LIMIT 1;

    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('time %s of not_before is not finite', place),
            HINT = 'Give the time from which on it may be sent, or NULL for at once.';
    END IF;

    WITH queued AS (
        INSERT INTO cx.delivery AS d (kind, record_id, channel, identifier_id, payload, not_before, due_at)
        SELECT enqueue_deliveries.kind, q.record_id, q.channel, q.identifier_id, q.payload, coalesce(q.at, moment), coalesce(q.at, moment)
        FROM ROWS FROM (unnest(record_ids), unnest(channels), unnest(identifier_ids), unnest(payloads), unnest(not_before))
             WITH ORDINALITY AS q(record_id, channel, identifier_id, payload, at, place)
        ORDER BY q.place
        RETURNING d.delivery_id
    )
    SELECT coalesce(array_agg(q.delivery_id ORDER BY q.delivery_id), '{}') INTO delivery_ids FROM queued AS q;

    -- senders need not poll for what can go at once
    PERFORM cxm.post_notifications('cxm_delivery', n.payloads)
    FROM (
        SELECT array_agg(jsonb_build_object('channel', c.channel, 'deliveries', c.deliveries) ORDER BY c.channel) AS payloads
        FROM (
            SELECT q.channel, count(*) AS deliveries
            FROM ROWS FROM (unnest(channels), unnest(not_before)) AS q(channel, at)
            WHERE coalesce(q.at, moment) <= moment
            GROUP BY q.channel
        ) AS c
    ) AS n
    WHERE n.payloads IS NOT NULL;

    RETURN delivery_ids;
END
$$;

COMMENT ON FUNCTION cxm.enqueue_deliveries(text, bigint[], text[], bigint[], jsonb[], timestamptz[]) IS
'Puts messages into the outbound queue, an entry of each array a message, and returns their delivery_ids in the same order. kind and record_id say what is delivered, identifier_id (cx.identifier) to whom, payload (a JSON object) what the sender needs; what stands under its key secret is taken out once it was sent. not_before: not before this time, NULL = at once. Listeners of cxm_delivery are told the number of messages that can go at once, a channel at a time. A message without an identifier or address is not refused here: it becomes a dead letter when it is claimed. Errors: arrays that differ in length (2202E), an unknown channel (42704), a malformed kind, a payload that is no object, a time that is not finite.';

---- senders

CREATE FUNCTION cxm.claim_deliveries(n integer DEFAULT 10, claimed_by text DEFAULT session_user, channel text DEFAULT NULL,
                                     lease interval DEFAULT interval '5 minutes')
RETURNS TABLE (
    delivery_id bigint,
    kind text,
    record_id bigint,
    delivery_channel text,
    identifier_id bigint,
    address text,
    payload jsonb,
    attempt integer,
    created_at timestamptz,
    claim_expires_at timestamptz
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- the index gives the queue in order whatever the table holds; a plan for each call would cost more than the call
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    taken integer := 0;
    spaces text[];
    most integer;
    ids bigint[];
    identifiers bigint[];
    tries integer[];
    claimed record;
BEGIN
    IF (n > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'n must be greater than zero';
    END IF;

    IF coalesce(claim_deliveries.claimed_by, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'claimed_by must say who claims';
    END IF;

    IF (moment + lease > moment) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'lease must be longer than zero';
    END IF;

    IF channel IS NOT NULL THEN
        PERFORM cxm.check_delivery_channels(ARRAY[channel]);
    END IF;

    FOR delivery_channel, spaces, most IN
        SELECT k.channel, k.namespaces, k.max_attempts
        FROM cx.delivery_channel AS k
        WHERE claim_deliveries.channel IS NULL OR k.channel = claim_deliveries.channel
        ORDER BY k.channel
    LOOP
        -- what cannot be sent at all becomes a dead letter on the way, and another takes its place
        LOOP
            EXIT WHEN taken = n;

            -- Step by step, by arrays: how many rows a limit leaves is not known when a plan is made, and a join with
            -- them might be planned to read the whole table.
            SELECT array_agg(c.delivery_id), array_agg(c.identifier_id), array_agg(c.attempts - c.first_attempt + 1)
            INTO ids, identifiers, tries
            FROM (
                SELECT d.delivery_id, d.identifier_id, d.attempts, d.first_attempt
                FROM cx.delivery AS d
                WHERE d.channel = delivery_channel COLLATE "C"
                  AND d.state IN ('pending', 'claimed')
                  AND d.due_at <= moment
                ORDER BY d.due_at, d.delivery_id
                LIMIT n - taken
                FOR UPDATE SKIP LOCKED
            ) AS c;

            EXIT WHEN ids IS NULL;

            FOR claimed IN
                WITH fate AS MATERIALIZED (
                    SELECT f.delivery_id, f.place, a.address,
                           CASE
                               WHEN f.tries >= most THEN format('given up after %s attempts, the last of which ended without a word from its sender', f.tries)
                               WHEN a.address IS NULL AND spaces IS NOT NULL AND f.identifier_id IS NULL THEN 'no identifier was named'
                               WHEN a.address IS NULL AND spaces IS NOT NULL THEN format('identifier %s has no address for channel %s', f.identifier_id, delivery_channel)
                           END AS reason
                    FROM ROWS FROM (unnest(ids), unnest(identifiers), unnest(tries)) WITH ORDINALITY AS f(delivery_id, identifier_id, tries, place)
                    CROSS JOIN LATERAL cxm.delivery_address(f.identifier_id, delivery_channel) AS a(address)
                ), moved AS (
                    UPDATE cx.delivery AS d
                    SET state = CASE WHEN f.reason IS NULL THEN 'claimed' ELSE 'dead' END,
                        due_at = CASE WHEN f.reason IS NULL THEN moment + lease END,
                        finished_at = CASE WHEN f.reason IS NOT NULL THEN moment END,
                        attempts = d.attempts + (f.reason IS NULL)::integer,
                        claimed_at = CASE WHEN f.reason IS NULL THEN moment ELSE d.claimed_at END,
                        claimed_by = CASE WHEN f.reason IS NULL THEN claim_deliveries.claimed_by ELSE d.claimed_by END,
                        address = CASE WHEN f.reason IS NULL THEN f.address ELSE d.address END,
                        reason = coalesce(f.reason, d.reason)
                    FROM fate AS f
                    WHERE d.delivery_id = f.delivery_id
                    RETURNING d.*, f.place
                ), buried AS (
                    INSERT INTO cx.delivery_event (delivery_id, event, attempt, occurred_at, detail)
                    SELECT m.delivery_id, 'dead', nullif(m.attempts, 0), moment, m.reason
                    FROM moved AS m
                    WHERE m.state = 'dead'
                )
                SELECT m.* FROM moved AS m WHERE m.state = 'claimed' ORDER BY m.place
            LOOP
                taken := taken + 1;
                delivery_id := claimed.delivery_id;
                kind := claimed.kind;
                record_id := claimed.record_id;
                identifier_id := claimed.identifier_id;
                address := claimed.address;
                payload := claimed.payload;
                attempt := claimed.attempts;
                created_at := claimed.created_at;
                claim_expires_at := claimed.due_at;
                RETURN NEXT;
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.claim_deliveries(integer, text, text, interval) IS
'Claims up to n deliveries that are due and that nobody holds, longest due first, of one channel or (NULL) of one channel after the other, and returns them with what a sender needs; address is that of today. Sessions that claim at once get different ones and do not wait. A claim lapses after lease, and the delivery can be claimed again; attempt tells the claims of a delivery apart. A delivery whose customer has no address on a channel that needs one, and one whose last permitted claim lapsed, becomes a dead letter instead. Errors: n, claimed_by or lease is missing or not positive (22023), no such channel (42704).';

CREATE FUNCTION cxm.lock_delivery(delivery_id bigint, attempt integer,
                                  OUT latest_attempt integer, OUT first_attempt integer, OUT this_attempt integer, OUT channel text, OUT state text, OUT due_at timestamptz,
                                  OUT claimed_by text, OUT status text) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT d.attempts, d.first_attempt, coalesce(lock_delivery.attempt, d.attempts), d.channel, d.state, d.due_at, d.claimed_by, d.status
    INTO latest_attempt, first_attempt, this_attempt, channel, state, due_at, claimed_by, status
    FROM cx.delivery AS d
    WHERE d.delivery_id = lock_delivery.delivery_id
    FOR UPDATE;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('delivery %s does not exist', coalesce(lock_delivery.delivery_id::text, 'NULL'));
    END IF;

    IF latest_attempt = 0 THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('delivery %s was never claimed', lock_delivery.delivery_id),
            DETAIL = format('It is %s.', state),
            HINT = 'Claim it with cxm.claim_deliveries(), send it, then say what became of it.';
    END IF;

    IF this_attempt NOT BETWEEN 1 AND latest_attempt THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('delivery %s has no attempt %s', lock_delivery.delivery_id, this_attempt),
            DETAIL = format('It was claimed %s times.', latest_attempt),
            HINT = 'Give the attempt that cxm.claim_deliveries() returned, or leave it out for the latest.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.lock_delivery(bigint, integer) IS
'Locks a delivery till the end of the transaction and tells how it stands; attempt NULL = the latest. Errors: no such delivery (P0002), never claimed (55000), no such attempt (22023).';

CREATE FUNCTION cxm.delivery_status_rank(status text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.array_position('{sent,bounced_soft,delivered,opened,clicked,failed,bounced_hard,complained}'::pg_catalog.text[], status);

COMMENT ON FUNCTION cxm.delivery_status_rank(text) IS
'Place of what a provider reports, 1 (sent) to 8 (complained): a delivery shows the greatest that was reported, in whatever order reports come in. NULL for what is not a status.';

CREATE FUNCTION cxm.apply_delivery_status(delivery_id bigint, status text, detail text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cx.delivery AS d
    SET status = CASE WHEN cxm.delivery_status_rank(apply_delivery_status.status) > cxm.delivery_status_rank(d.status)
                      THEN apply_delivery_status.status ELSE d.status END,
        state = CASE WHEN f.is_failure THEN 'dead' ELSE d.state END,
        reason = CASE WHEN f.is_failure THEN concat_ws(': ', apply_delivery_status.status, nullif(detail, '')) ELSE d.reason END,
        finished_at = CASE WHEN f.is_failure AND d.state <> 'dead' THEN clock_timestamp() ELSE d.finished_at END
    FROM (VALUES (apply_delivery_status.status IN ('failed', 'bounced_hard'))) AS f(is_failure)
    WHERE d.delivery_id = apply_delivery_status.delivery_id
      AND d.state IN ('sent', 'dead')
      AND d.status IS NOT NULL
      AND (f.is_failure OR cxm.delivery_status_rank(apply_delivery_status.status) > cxm.delivery_status_rank(d.status));
END
$$;

COMMENT ON FUNCTION cxm.apply_delivery_status(bigint, text, text) IS
'Takes what a provider reported into the row of the delivery that was sent: status goes up only, and what failed or bounced for good is a dead letter.';

CREATE FUNCTION cxm.acknowledge_delivery(delivery_id bigint, provider_message_id text DEFAULT NULL, attempt integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
    other_id bigint;
    moment CONSTANT timestamptz := clock_timestamp();
    remark text;
BEGIN
    IF acknowledge_delivery.provider_message_id = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the provider''s message id must not be empty',
            HINT = 'Leave it out where the provider gives none; what became of the message can then not be reported.';
    END IF;

    -- a report on this message may be coming in at this moment: one of the two must see the other
    PERFORM cxm.lock_provider_message(acknowledge_delivery.provider_message_id);
    held := cxm.lock_delivery(delivery_id, attempt);

    remark := CASE
        WHEN held.state = 'sent' THEN 'it was sent before'
        WHEN held.state = 'dead' AND held.status IS NOT NULL THEN 'it was sent before, and came back'
        WHEN held.state = 'dead' THEN 'after it was given up'
        WHEN held.state = 'cancelled' THEN 'after it was cancelled'
        WHEN held.this_attempt < held.latest_attempt AND held.state = 'claimed' THEN format('late: attempt %s is with %s', held.latest_attempt, held.claimed_by)
        WHEN held.this_attempt < held.latest_attempt OR held.state = 'pending' THEN 'late: the attempt had been taken back'
        WHEN held.due_at <= moment THEN 'late: the claim had lapsed'
    END;

    IF acknowledge_delivery.provider_message_id IS NOT NULL THEN
        INSERT INTO cx.delivery_event (delivery_id, event, attempt, provider_message_id, occurred_at, detail)
        VALUES (acknowledge_delivery.delivery_id, 'acknowledged', held.this_attempt, acknowledge_delivery.provider_message_id, moment, remark)
        ON CONFLICT DO NOTHING;

        IF NOT FOUND THEN
            SELECT e.delivery_id INTO other_id
            FROM cx.delivery_event AS e
            WHERE e.provider_message_id = acknowledge_delivery.provider_message_id AND e.event = 'acknowledged';

            IF other_id <> acknowledge_delivery.delivery_id THEN
                RAISE unique_violation USING
                    MESSAGE = format('delivery %s cannot have the provider''s message id "%s"', delivery_id, left(acknowledge_delivery.provider_message_id, 100)),
                    DETAIL = format('Delivery %s was acknowledged with it.', other_id),
                    HINT = 'The id is how reports of the provider find the delivery: with several providers begin it with the name of the provider, with several recipients of one message add the recipient.';
            END IF;

            RETURN false;
        END IF;

        UPDATE cx.delivery_event AS e
        SET delivery_id = acknowledge_delivery.delivery_id, attempt = held.this_attempt
        WHERE e.provider_message_id = acknowledge_delivery.provider_message_id AND e.event <> 'acknowledged' AND e.delivery_id IS NULL;
    ELSIF held.state <> 'sent' AND held.status IS NULL THEN
        INSERT INTO cx.delivery_event (delivery_id, event, attempt, occurred_at, detail)
        VALUES (acknowledge_delivery.delivery_id, 'acknowledged', held.this_attempt, moment, remark);
    END IF;

    -- that it went out is a fact, whatever was thought of it meanwhile
    IF held.state <> 'sent' AND held.status IS NULL THEN
        UPDATE cx.delivery AS d
        SET state = 'sent',
            due_at = NULL,
            provider_message_id = acknowledge_delivery.provider_message_id,
            status = 'sent',
            reason = NULL,
            sent_at = moment,
            finished_at = moment,
            first_attempt = least(d.first_attempt, held.this_attempt),
            payload = d.payload - 'secret'
        WHERE d.delivery_id = acknowledge_delivery.delivery_id;
    END IF;

    IF acknowledge_delivery.provider_message_id IS NOT NULL THEN
        PERFORM cxm.apply_delivery_status(e.delivery_id, e.event, e.detail)
        FROM cx.delivery_event AS e
        WHERE e.provider_message_id = acknowledge_delivery.provider_message_id AND e.event <> 'acknowledged';
    END IF;

    RETURN held.state <> 'sent' AND held.status IS NULL;
END
$$;

COMMENT ON FUNCTION cxm.acknowledge_delivery(bigint, text, integer) IS
'Says that the provider took a message, with the provider''s id of it, by which cxm.record_delivery_status() will know it. True when this made it sent, false when it was sent before; saying the same again changes nothing. It holds also when it comes late (the claim has lapsed, another sender is at it, it was cancelled or given up), and the row of cx.delivery_event says so; a second acknowledgement with another id is noted there as well: the message went out twice. Errors: no such delivery (P0002), never claimed (55000), no such attempt (22023), the id belongs to another delivery (23505).';

CREATE FUNCTION cxm.fail_delivery(delivery_id bigint, error text, permanent boolean DEFAULT false, attempt integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
    moment CONSTANT timestamptz := clock_timestamp();
    failures integer;
    final boolean;
BEGIN
    IF coalesce(fail_delivery.error, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'error must say why the delivery failed';
    END IF;

    held := cxm.lock_delivery(delivery_id, attempt);

    IF held.state <> 'claimed' OR held.this_attempt < held.latest_attempt THEN
        RETURN false;
    END IF;

    failures := held.latest_attempt - held.first_attempt + 1;

    UPDATE cx.delivery AS d
    SET state = CASE WHEN f.is_final THEN 'dead' ELSE 'pending' END,
        due_at = CASE WHEN NOT f.is_final THEN moment + cxm.delivery_wait(d.delivery_id, failures, k.retry_after, k.retry_limit, k.jitter) END,
        finished_at = CASE WHEN f.is_final THEN moment END,
        reason = fail_delivery.error
    FROM cx.delivery_channel AS k
    CROSS JOIN LATERAL (SELECT coalesce(permanent, false) OR failures >= k.max_attempts AS is_final) AS f
    WHERE d.delivery_id = fail_delivery.delivery_id
      AND k.channel = d.channel
    RETURNING f.is_final INTO final;

    INSERT INTO cx.delivery_event (delivery_id, event, attempt, occurred_at, detail)
    VALUES (fail_delivery.delivery_id, CASE WHEN final THEN 'dead' ELSE 'failed' END, held.this_attempt, moment, fail_delivery.error);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.fail_delivery(bigint, text, boolean, integer) IS
'Says that sending failed and why. The delivery waits to be tried again, longer each time (cxm.delivery_wait()), and is a dead letter when permanent is true or this was the last attempt that its channel allows. False, with nothing changed, when the delivery is not claimed any more, or not by this attempt. Errors: no reason (22023), no such delivery (P0002), never claimed (55000), no such attempt (22023).';

CREATE FUNCTION cxm.release_delivery(delivery_id bigint, attempt integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
BEGIN
    held := cxm.lock_delivery(delivery_id, attempt);

    IF held.state <> 'claimed' OR held.this_attempt < held.latest_attempt THEN
        RETURN false;
    END IF;

    UPDATE cx.delivery AS d
    SET state = 'pending', due_at = clock_timestamp(), first_attempt = d.first_attempt + 1
    WHERE d.delivery_id = release_delivery.delivery_id;
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.release_delivery(bigint, integer) IS
'Gives a claimed delivery back unsent, as a sender does that is shut down: others can claim it at once, and the attempt does not count. False when it is not claimed any more, or not by this attempt. Errors: no such delivery (P0002), never claimed (55000), no such attempt (22023).';

---- providers

CREATE FUNCTION cxm.lock_provider_message(provider_message_id text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('cxm.delivery ' || provider_message_id, 0));
END
$$;

COMMENT ON FUNCTION cxm.lock_provider_message(text) IS
'Waits for others who are telling something about this message of a provider, till the end of their transaction.';

CREATE FUNCTION cxm.record_delivery_status(provider_message_id text, status text, at timestamptz DEFAULT now(), detail text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sent record;
BEGIN
    IF coalesce(record_delivery_status.provider_message_id, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the provider''s message id must not be empty';
    END IF;

    IF cxm.delivery_status_rank(record_delivery_status.status) IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown delivery status %s', coalesce('"' || left(record_delivery_status.status, 100) || '"', 'NULL')),
            HINT = 'Use sent, delivered, opened, clicked, bounced_soft, bounced_hard, complained or failed.';
    END IF;

    IF isfinite(at) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a delivery status cannot be of %s', coalesce(at::text, 'NULL')),
            HINT = 'Give the time that the provider reports.';
    END IF;

    PERFORM cxm.lock_provider_message(record_delivery_status.provider_message_id);

    SELECT e.delivery_id, e.attempt INTO sent
    FROM cx.delivery_event AS e
    WHERE e.provider_message_id = record_delivery_status.provider_message_id AND e.event = 'acknowledged';

    INSERT INTO cx.delivery_event (delivery_id, event, attempt, provider_message_id, occurred_at, detail)
    VALUES (sent.delivery_id, record_delivery_status.status, sent.attempt, record_delivery_status.provider_message_id, at, record_delivery_status.detail)
    ON CONFLICT DO NOTHING;

    -- what was sent before a redrive says nothing about the message that is to go out now
    IF FOUND AND sent.attempt >= (SELECT d.first_attempt FROM cx.delivery AS d WHERE d.delivery_id = sent.delivery_id) THEN
        PERFORM cxm.apply_delivery_status(sent.delivery_id, record_delivery_status.status, record_delivery_status.detail);
    END IF;

    RETURN sent.delivery_id;
END
$$;

COMMENT ON FUNCTION cxm.record_delivery_status(text, text, timestamptz, text) IS
'Takes a provider''s report on a message that it was given: sent, delivered, opened, clicked, bounced_soft, bounced_hard, complained or failed, and when. Reports may come in any order and more than once; the same (id, status, time) is stored once. bounced_hard and failed make the delivery a dead letter. Returns the delivery_id; NULL when no sender has acknowledged a message with this id yet, in which case the report counts as soon as one does. Errors: an empty id, an unknown status, a time that is not finite (22023).';

---- by hand

CREATE FUNCTION cxm.cancel_delivery(delivery_id bigint, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT d.state, d.status, d.claimed_by, d.due_at, d.sent_at INTO held
    FROM cx.delivery AS d
    WHERE d.delivery_id = cancel_delivery.delivery_id
    FOR UPDATE;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('delivery %s does not exist', coalesce(cancel_delivery.delivery_id::text, 'NULL'));
    ELSIF held.state = 'cancelled' THEN
        RETURN false;
    ELSIF held.state = 'sent' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('delivery %s cannot be cancelled', delivery_id),
            DETAIL = format('It was sent at %s.', held.sent_at);
    ELSIF held.state = 'claimed' AND held.due_at > moment THEN
        RAISE object_in_use USING
            MESSAGE = format('delivery %s cannot be cancelled now', delivery_id),
            DETAIL = format('%s is sending it, until %s at the latest.', held.claimed_by, held.due_at),
            HINT = 'Try again then; it may have been sent.';
    END IF;

    PERFORM cxm.cancel_locked_deliveries(ARRAY[delivery_id], reason);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.cancel_delivery(bigint, text) IS
'Withdraws a message that was not sent: one that waits, whose claim has lapsed, or a dead letter. True when this did so, false when it was cancelled before. Errors: no such delivery (P0002), it was sent (55000), a sender is at it (55006).';

CREATE FUNCTION cxm.cancel_deliveries(kind text, record_ids bigint[], reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.cancel_locked_deliveries(ARRAY(
        SELECT d.delivery_id
        FROM cx.delivery AS d
        WHERE d.kind = cancel_deliveries.kind
          AND d.record_id = ANY (record_ids)
          AND (d.state IN ('pending', 'dead') OR (d.state = 'claimed' AND d.due_at <= clock_timestamp()))
        ORDER BY d.delivery_id
        FOR UPDATE), reason);
END
$$;

COMMENT ON FUNCTION cxm.cancel_deliveries(text, bigint[], text) IS
'Withdraws the deliveries of these records (kind and record_id as given to cxm.enqueue_deliveries()) that were not sent: those that wait, whose claim has lapsed, and dead letters. Returns how many; those that a sender is at, and those sent, stay.';

CREATE FUNCTION cxm.cancel_locked_deliveries(delivery_ids bigint[], reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    cancelled bigint;
BEGIN
    UPDATE cx.delivery AS d
    SET state = 'cancelled', due_at = NULL, finished_at = moment, reason = cancel_locked_deliveries.reason, payload = d.payload - 'secret'
    WHERE d.delivery_id = ANY (delivery_ids);
    GET DIAGNOSTICS cancelled = ROW_COUNT;

    INSERT INTO cx.delivery_event (delivery_id, event, occurred_at, detail)
    SELECT d.delivery_id, 'cancelled', moment, cancel_locked_deliveries.reason
    FROM unnest(delivery_ids) AS d(delivery_id);
    RETURN cancelled;
END
$$;

COMMENT ON FUNCTION cxm.cancel_locked_deliveries(bigint[], text) IS
'Withdraws deliveries that the caller has locked and found withdrawable; returns how many.';

CREATE FUNCTION cxm.redrive_deliveries(delivery_ids bigint[] DEFAULT NULL, channel text DEFAULT NULL, kind text DEFAULT NULL, max_rows integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    ids bigint[];
BEGIN
    IF (max_rows > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'max_rows must be greater than zero';
    END IF;

    SELECT array_agg(d.delivery_id) INTO ids
    FROM (
        SELECT d.delivery_id
        FROM cx.delivery AS d
        WHERE d.state = 'dead'
          AND (redrive_deliveries.delivery_ids IS NULL OR d.delivery_id = ANY (redrive_deliveries.delivery_ids))
          AND (redrive_deliveries.channel IS NULL OR d.channel = redrive_deliveries.channel)
          AND (redrive_deliveries.kind IS NULL OR d.kind = redrive_deliveries.kind)
        ORDER BY d.delivery_id
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ) AS d;

    INSERT INTO cx.delivery_event (delivery_id, event, attempt, occurred_at, detail)
    SELECT d.delivery_id, 'redriven', nullif(d.attempts, 0), moment, d.reason
    FROM cx.delivery AS d
    WHERE d.delivery_id = ANY (ids)
    ORDER BY d.delivery_id;

    UPDATE cx.delivery AS d
    SET state = 'pending', due_at = moment, finished_at = NULL, status = NULL, sent_at = NULL, provider_message_id = NULL,
        reason = NULL, first_attempt = d.attempts + 1
    WHERE d.delivery_id = ANY (ids);

    RETURN coalesce(cardinality(ids), 0);
END
$$;

COMMENT ON FUNCTION cxm.redrive_deliveries(bigint[], text, text, integer) IS
'Puts dead letters back into the queue, to be sent at once and with all attempts ahead of them, oldest first and at most max_rows; only those ids, that channel, that kind where given. Returns how many. Their past stays in cx.delivery_event.';

---- upkeep

CREATE PROCEDURE cxm.forget_deliveries(older_than interval DEFAULT interval '30 days')
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.run_job('forget_deliveries', pg_catalog.format('cxm.forget_delivery_batch(%L)', pg_catalog.now() OPERATOR(pg_catalog.-) older_than), '%s deliveries and reports deleted');
END
$$;

COMMENT ON PROCEDURE cxm.forget_deliveries(interval) IS
'Deletes deliveries that were sent or cancelled longer ago than this, with their events, and reports as old on messages that no sender acknowledged; commits as it goes. What waits and dead letters stay. Run outside a transaction.';

CREATE FUNCTION cxm.forget_delivery_batch(before timestamptz, max_rows integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
    orphans bigint;
BEGIN
    SELECT array_agg(d.delivery_id) INTO ids
    FROM (
        SELECT d.delivery_id
        FROM cx.delivery AS d
        WHERE d.state IN ('sent', 'cancelled') AND d.finished_at < before
        ORDER BY d.finished_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ) AS d;

    DELETE FROM cx.delivery_event AS e WHERE e.delivery_id = ANY (ids);
    DELETE FROM cx.delivery AS d WHERE d.delivery_id = ANY (ids);

    DELETE FROM cx.delivery_event AS e
    WHERE e.event_id = ANY (ARRAY(SELECT o.event_id FROM cx.delivery_event AS o WHERE o.delivery_id IS NULL AND o.recorded_at < before LIMIT max_rows));
    GET DIAGNOSTICS orphans = ROW_COUNT;
    RETURN coalesce(cardinality(ids), 0) + orphans;
END
$$;

COMMENT ON FUNCTION cxm.forget_delivery_batch(timestamptz, integer) IS 'Deletes a batch of what cxm.forget_deliveries() is to delete; returns the number of rows.';
