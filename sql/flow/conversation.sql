-- Talking with customers: messages come in, answers go out through the queue of deliveries, people take over, read, close.
--
-- Whoever writes a message locks the row of its conversation first. So message_no is the order in which messages are
-- committed: nobody who has read up to a number can be handed a smaller one later, and what is unread is a comparison.

---- text search configurations, by name

CREATE FUNCTION cxm.search_config_name(config regconfig) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, c.cfgname) FROM pg_ts_config AS c JOIN pg_namespace AS n ON n.oid = c.cfgnamespace WHERE c.oid = config;
$$;

COMMENT ON FUNCTION cxm.search_config_name(regconfig) IS 'Name of a text search configuration with its schema, as the store keeps it. NULL for NULL.';

CREATE FUNCTION cxm.search_config(name text) RETURNS regconfig
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text[];
BEGIN
    IF name <> 'pg_catalog.simple' THEN
        parts := parse_ident(name);
        RETURN coalesce((SELECT c.oid FROM pg_ts_config AS c JOIN pg_namespace AS n ON n.oid = c.cfgnamespace WHERE c.cfgname = parts[2] AND n.nspname = parts[1]),
                        'pg_catalog.simple'::regconfig::oid);
    END IF;

    RETURN 'pg_catalog.simple'::regconfig;
END
$$;

COMMENT ON FUNCTION cxm.search_config(text) IS 'Text search configuration of that name, schema included; pg_catalog.simple where there is none.';

---- what everybody needs

CREATE FUNCTION cxm.lock_conversation(conversation_id bigint, OUT channel text, OUT identifier_id bigint, OUT subject text, OUT state text, OUT owner text,
                                      OUT thread text, OUT search_config text, OUT last_message_no integer, OUT unanswered_since timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.channel, c.identifier_id, c.subject, c.state, c.owner, c.thread, c.search_config, c.last_message_no, c.unanswered_since
    INTO channel, identifier_id, subject, state, owner, thread, search_config, last_message_no, unanswered_since
    FROM cx.conversation AS c
    WHERE c.conversation_id = lock_conversation.conversation_id
    FOR NO KEY UPDATE;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('conversation %s does not exist', coalesce(lock_conversation.conversation_id::text, 'NULL'));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.lock_conversation(bigint) IS
'Locks a conversation till the end of the transaction and tells how it stands. Error P0002: no such conversation.';

CREATE FUNCTION cxm.check_participant(participant text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(participant, '') IN ('', 'customer') OR octet_length(participant) > 512 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s cannot act in a conversation', coalesce(quote_literal(left(participant, 100)), 'NULL')),
            HINT = 'Name somebody of yours, in 1 to 512 bytes; "customer" is the customer.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_participant(text) IS 'Error 22023 when this cannot be the name of somebody of yours: NULL, empty, too long or "customer".';

CREATE FUNCTION cxm.conversation_payload(conversation_id bigint, event text, message_id bigint, message_no integer, state text, owner text) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'conversation_id', conversation_payload.conversation_id,
        'event', conversation_payload.event,
        'message_id', conversation_payload.message_id,
        'message_no', conversation_payload.message_no,
        'state', conversation_payload.state,
        'owner', pg_catalog."left"(conversation_payload.owner, 200)));

COMMENT ON FUNCTION cxm.conversation_payload(bigint, text, bigint, integer, text, text) IS
'What listeners of cxm_conversation are told: ids, the state, the owner''s name (its first 200 characters) and what happened. Never what anybody wrote, since any role may LISTEN.';

CREATE FUNCTION cxm.conversation_changed(conversation_id bigint, message_id bigint, event text, actor text, detail text, state text, owner text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO cx.conversation_event (conversation_id, message_id, event, actor, detail)
    VALUES (conversation_changed.conversation_id, conversation_changed.message_id, conversation_changed.event, conversation_changed.actor, conversation_changed.detail);

    PERFORM cxm.post_notifications('cxm_conversation', ARRAY[cxm.conversation_payload(
        conversation_changed.conversation_id, conversation_changed.event, conversation_changed.message_id, NULL, conversation_changed.state, conversation_changed.owner)]);
END
$$;

COMMENT ON FUNCTION cxm.conversation_changed(bigint, bigint, text, text, text, text, text) IS
'Notes what somebody did to a conversation, and tells listeners of cxm_conversation.';

CREATE FUNCTION cxm.add_participant(conversation_id bigint, participant text) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO cx.conversation_participant (conversation_id, participant, role)
    VALUES (conversation_id, participant, CASE participant WHEN 'customer' THEN 'customer' ELSE 'agent' END)
    ON CONFLICT (conversation_id, participant) DO NOTHING;
$$;

COMMENT ON FUNCTION cxm.add_participant(bigint, text) IS
'Has somebody take part in a conversation (customer, or a name of yours), with all of it unread; nothing where they do already.';

CREATE FUNCTION cxm.append_message(conversation_id bigint, kind text, participant text, body text, channel text DEFAULT NULL, identifier_id bigint DEFAULT NULL,
                                   is_automatic boolean DEFAULT false, properties jsonb DEFAULT NULL, source_id integer DEFAULT NULL,
                                   external_id text DEFAULT NULL, occurred_at timestamptz DEFAULT clock_timestamp(),
                                   OUT message_id bigint, OUT message_no integer) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conversation record;
    new_state text;
    is_answer CONSTANT boolean := append_message.kind = 'outbound' AND NOT append_message.is_automatic;
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    -- as cxm.lock_conversation() does it, without its call
    SELECT c.state, c.owner, c.search_config, c.last_message_no, c.unanswered_since INTO conversation
    FROM cx.conversation AS c
    WHERE c.conversation_id = append_message.conversation_id
    FOR NO KEY UPDATE;

    IF NOT FOUND THEN
        PERFORM cxm.lock_conversation(conversation_id);
    END IF;

    message_no := conversation.last_message_no + 1;
    new_state := CASE WHEN append_message.kind = 'inbound' THEN 'open' WHEN is_answer THEN 'waiting' ELSE conversation.state END;

    INSERT INTO cx.conversation_message AS m (conversation_id, message_no, kind, participant, channel, identifier_id, is_automatic, body, properties,
                                              source_id, external_id, occurred_at, received_at, asked_at, search)
    VALUES (append_message.conversation_id, append_message.message_no, append_message.kind, append_message.participant, append_message.channel,
            append_message.identifier_id, append_message.is_automatic, append_message.body, nullif(append_message.properties, '{}'), append_message.source_id,
            append_message.external_id, append_message.occurred_at, moment, CASE WHEN is_answer THEN conversation.unanswered_since END,
            to_tsvector(CASE conversation.search_config WHEN 'pg_catalog.simple' THEN 'pg_catalog.simple'::regconfig ELSE cxm.search_config(conversation.search_config) END,
                        left(append_message.body, 100000)))
    ON CONFLICT DO NOTHING
    RETURNING m.message_id INTO message_id;

    -- taken before
    IF message_id IS NULL THEN
        message_no := NULL;
        RETURN;
    END IF;

    UPDATE cx.conversation AS c
    SET last_message_no = append_message.message_no,
        last_message_at = moment,
        state = new_state,
        state_at = CASE WHEN c.state = new_state THEN c.state_at ELSE moment END,
        unanswered_since = CASE WHEN append_message.kind = 'inbound' THEN least(c.unanswered_since, append_message.occurred_at)
                                WHEN is_answer THEN NULL
                                ELSE c.unanswered_since END
    WHERE c.conversation_id = append_message.conversation_id;

    IF NOT EXISTS (SELECT FROM cx.conversation_participant AS p
                   WHERE p.conversation_id = append_message.conversation_id AND p.participant = append_message.participant) THEN
        PERFORM cxm.add_participant(conversation_id, participant);
    END IF;

    IF conversation.state = 'closed' AND new_state <> 'closed' THEN
        INSERT INTO cx.conversation_event (conversation_id, event, actor) VALUES (append_message.conversation_id, 'reopened', append_message.participant);
    END IF;

    PERFORM cxm.post_notifications('cxm_conversation',
        ARRAY[cxm.conversation_payload(conversation_id, kind, message_id, message_no, new_state, conversation.owner)]);
END
$$;

COMMENT ON FUNCTION cxm.append_message(bigint, text, text, text, text, bigint, boolean, jsonb, integer, text, timestamptz) IS
'Writes a message at the end of a conversation, and tells listeners of cxm_conversation. message_id is NULL when (source_id, external_id) was stored before. What cxm.receive_message(), cxm.send_message() and cxm.add_note() have in common; it checks nothing itself.';

---- conversations

CREATE FUNCTION cxm.check_conversation_input(identifiers jsonb, external_id text, thread text, at timestamptz, properties jsonb, body text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    limits record;
    problem cxm.problem;
BEGIN
    limits := cxm.ingest_limits();
    problem := cxm.record_problem(NULL, external_id, at, limits.latest, nullif(identifiers, 'null'), limits.namespaces, nullif(properties, 'null'), '{}');

    IF problem.reason IS NULL AND (thread = '' OR octet_length(thread) > 1024) THEN
        problem := ('22023', format('thread of %s bytes', octet_length(thread)), 'A thread has 1 to 1024 bytes.')::cxm.problem;
    ELSIF problem.reason IS NULL AND body IS NULL THEN
        problem := ('22004', 'the message has no text', 'Give the text; an empty one is possible where properties say more.')::cxm.problem;
    ELSIF problem.reason IS NULL AND octet_length(body) > 1048576 THEN
        problem := ('22001', format('a message of %s bytes is too long', octet_length(body)), 'A message has at most 1 MB; put attachments elsewhere and name them in properties.')::cxm.problem;
    END IF;

    PERFORM cxm.raise_problem((problem.sqlstate, replace(problem.reason, 'message_id', 'external_id'), replace(problem.hint, 'message_id', 'external_id'))::cxm.problem);
END
$$;

COMMENT ON FUNCTION cxm.check_conversation_input(jsonb, text, text, timestamptz, jsonb, text) IS
'Error that says what is wrong with what somebody sent: identifiers, an external_id, thread or text that is missing or too long, a time that is not finite or too far in the future, properties that are no object.';

CREATE FUNCTION cxm.conversation_identifier(source_id integer, identifiers jsonb, channel text, at timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    strongest bigint;
    spaces text[];
BEGIN
    IF coalesce(identifiers, 'null') IN ('null', '{}') THEN
        RETURN NULL;
    END IF;

    strongest := (cxm.resolve_identifiers(source_id, ARRAY[identifiers], ARRAY[at]))[1];
    SELECT k.namespaces INTO spaces FROM cx.delivery_channel AS k WHERE k.channel = conversation_identifier.channel;

    IF spaces IS NULL OR spaces[1] = (SELECT i.namespace FROM cx.identifier AS i WHERE i.identifier_id = strongest) THEN
        RETURN strongest;
    END IF;

    -- An answer goes where the customer wrote from: of what was given, the address of the channel, when it is theirs.
    RETURN coalesce((
        SELECT i.identifier_id
        FROM cxm.expand_identifiers(ARRAY[identifiers]) AS e
        JOIN cx.identifier AS i ON i.namespace = e.namespace AND i.value = e.value
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        WHERE p.canonical_id = (SELECT t.canonical_id FROM cx.identifier AS s JOIN cx.profile AS t ON t.profile_id = s.profile_id WHERE s.identifier_id = strongest)
          AND i.namespace = ANY (spaces)
          AND coalesce(i.quarantined, 'generic') = 'generic'
        ORDER BY array_position(spaces, i.namespace), i.identifier_id
        LIMIT 1), strongest);
END
$$;

COMMENT ON FUNCTION cxm.conversation_identifier(integer, jsonb, text, timestamptz) IS
'Identifier under which a customer, given as {"namespace": "value", ...} and already checked, is met on a channel: the address among those given, or else the strongest of them; NULL for none. New identifiers and links are stored.';

CREATE FUNCTION cxm.start_conversation(channel text, identifiers jsonb DEFAULT NULL, subject text DEFAULT NULL, owner text DEFAULT NULL,
                                       feedback_id bigint DEFAULT NULL, follow_up_id bigint DEFAULT NULL,
                                       source text DEFAULT 'app', thread text DEFAULT NULL, search_config regconfig DEFAULT 'pg_catalog.simple') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    from_source CONSTANT integer := cxm.source_id(source);
    customer bigint;
    new_id bigint;
BEGIN
    PERFORM cxm.check_delivery_channels(ARRAY[channel]);
    PERFORM cxm.check_conversation_input(identifiers, NULL, thread, now(), NULL, '');

    IF owner IS NOT NULL THEN
        PERFORM cxm.check_participant(owner);
    END IF;

    IF start_conversation.feedback_id IS NOT NULL AND NOT EXISTS (SELECT FROM cx.feedback AS f WHERE f.feedback_id = start_conversation.feedback_id) THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('feedback %s does not exist', start_conversation.feedback_id);
    END IF;

    customer := coalesce(cxm.conversation_identifier(from_source, identifiers, channel, now()),
                         (SELECT f.identifier_id FROM cx.feedback AS f WHERE f.feedback_id = start_conversation.feedback_id LIMIT 1));

    INSERT INTO cx.conversation AS c (channel, identifier_id, subject, owner, feedback_id, follow_up_id, source_id, thread, search_config)
    VALUES (start_conversation.channel, customer, start_conversation.subject, start_conversation.owner, start_conversation.feedback_id,
            start_conversation.follow_up_id, from_source, start_conversation.thread, coalesce(cxm.search_config_name(start_conversation.search_config), 'pg_catalog.simple'))
    ON CONFLICT DO NOTHING
    RETURNING c.conversation_id INTO new_id;

    IF new_id IS NULL THEN
        RETURN (SELECT c.conversation_id FROM cx.conversation AS c WHERE c.source_id = from_source AND c.thread = start_conversation.thread);
    END IF;

    PERFORM cxm.add_participant(new_id, 'customer');

    IF start_conversation.owner IS NOT NULL THEN
        PERFORM cxm.add_participant(new_id, start_conversation.owner);
        PERFORM cxm.conversation_changed(new_id, NULL, 'assigned', start_conversation.owner, start_conversation.owner, 'open', start_conversation.owner);
    END IF;

    RETURN new_id;
END
$$;

COMMENT ON FUNCTION cxm.start_conversation(text, jsonb, text, text, bigint, bigint, text, text, regconfig) IS
'Begins a conversation on a channel and returns its conversation_id: with the customer who has these identifiers, or else who gave the feedback; about that feedback and follow-up. Where the source has a thread of that id already, that conversation comes back and nothing changes. search_config: how its messages are read by cxm.search_messages(). Errors: an unknown channel (42704), a feedback that is not there (23503), identifiers that cannot be (as in cxm.track()).';

CREATE FUNCTION cxm.set_conversation_state(conversation_id bigint, state text, actor text DEFAULT session_user, reason text DEFAULT NULL, seen_no integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conversation record;
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM cxm.check_participant(actor);

    IF set_conversation_state.state IS NULL OR set_conversation_state.state NOT IN ('open', 'waiting', 'closed') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('unknown state %s of a conversation', coalesce(quote_literal(left(set_conversation_state.state, 100)), 'NULL')),
            HINT = 'Use open, waiting or closed.';
    END IF;

    conversation := cxm.lock_conversation(conversation_id);

    IF conversation.state = set_conversation_state.state THEN
        RETURN false;
    ELSIF EXISTS (SELECT FROM cx.conversation_message AS m
                  WHERE m.conversation_id = set_conversation_state.conversation_id AND m.message_no > seen_no AND m.kind = 'inbound') THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('conversation %s cannot be %s', set_conversation_state.conversation_id, CASE set_conversation_state.state WHEN 'open' THEN 'opened' WHEN 'waiting' THEN 'set waiting' ELSE 'closed' END),
            DETAIL = format('The customer has written since message %s.', seen_no),
            HINT = 'Read it first.';
    ELSIF conversation.state = 'closed' AND set_conversation_state.state = 'waiting' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('conversation %s cannot go from closed to waiting', set_conversation_state.conversation_id),
            HINT = 'Open it first; it waits once you have written.';
    END IF;

    UPDATE cx.conversation AS c
    SET state = set_conversation_state.state,
        state_at = moment,
        unanswered_since = CASE WHEN set_conversation_state.state = 'open' THEN c.unanswered_since END
    WHERE c.conversation_id = set_conversation_state.conversation_id;

    PERFORM cxm.conversation_changed(conversation_id, NULL,
        CASE WHEN conversation.state = 'closed' THEN 'reopened' WHEN set_conversation_state.state = 'open' THEN 'opened' ELSE set_conversation_state.state END,
        actor, reason, set_conversation_state.state, conversation.owner);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.set_conversation_state(bigint, text, text, text, integer) IS
'Moves a conversation by hand: open, waiting (nothing is left to answer) or closed; writing moves it by itself. True when it moved, false when it was there already. seen_no: the last message_no that actor has seen: when the customer has written since, it is an error and nothing moves. Errors: from closed to waiting, the customer has written since (55000), an unknown state (22023), no such conversation (P0002).';

CREATE FUNCTION cxm.assign_conversation(conversation_id bigint, owner text, actor text DEFAULT session_user) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conversation record;
BEGIN
    PERFORM cxm.check_participant(actor);

    IF assign_conversation.owner IS NOT NULL THEN
        PERFORM cxm.check_participant(assign_conversation.owner);
    END IF;

    conversation := cxm.lock_conversation(conversation_id);

    IF conversation.state = 'closed' AND assign_conversation.owner IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('conversation %s cannot be assigned', assign_conversation.conversation_id),
            DETAIL = 'It is closed.',
            HINT = 'Open it first, with cxm.set_conversation_state().';
    ELSIF conversation.owner IS NOT DISTINCT FROM assign_conversation.owner THEN
        RETURN false;
    END IF;

    UPDATE cx.conversation AS c SET owner = assign_conversation.owner WHERE c.conversation_id = assign_conversation.conversation_id;
    PERFORM cxm.add_participant(conversation_id, assign_conversation.owner) WHERE assign_conversation.owner IS NOT NULL;
    PERFORM cxm.conversation_changed(conversation_id, NULL, CASE WHEN assign_conversation.owner IS NULL THEN 'unassigned' ELSE 'assigned' END, actor,
                                     coalesce(assign_conversation.owner, conversation.owner), conversation.state, assign_conversation.owner);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.assign_conversation(bigint, text, text) IS
'Gives a conversation to somebody, who then takes part in it; NULL takes it away again. True when the owner changed, false when it was so already. Errors: it is closed (55000), no such conversation (P0002), a name that cannot be (22023).';

CREATE FUNCTION cxm.take_conversations(n integer DEFAULT 1, owner text DEFAULT session_user, channel text DEFAULT NULL)
RETURNS TABLE (conversation_id bigint, conversation_channel text, subject text, identifier_id bigint, unanswered_since timestamptz)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken bigint[];
BEGIN
    IF (n > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'n must be greater than zero';
    END IF;

    PERFORM cxm.check_participant(take_conversations.owner);
    PERFORM cxm.check_delivery_channels(ARRAY[channel]) WHERE channel IS NOT NULL;

    SELECT array_agg(c.conversation_id) INTO taken
    FROM (
        SELECT c.conversation_id
        FROM cx.conversation AS c
        WHERE c.state = 'open'
          AND c.owner IS NULL
          AND c.unanswered_since IS NOT NULL
          AND (take_conversations.channel IS NULL OR c.channel = take_conversations.channel)
        ORDER BY c.unanswered_since, c.conversation_id
        LIMIT n
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS c;

    UPDATE cx.conversation AS c SET owner = take_conversations.owner WHERE c.conversation_id = ANY (taken);

    PERFORM cxm.add_participant(t.id, take_conversations.owner),
            cxm.conversation_changed(t.id, NULL, 'assigned', take_conversations.owner, take_conversations.owner, 'open', take_conversations.owner)
    FROM unnest(taken) AS t(id);

    RETURN QUERY
    SELECT c.conversation_id, c.channel, c.subject, c.identifier_id, c.unanswered_since
    FROM unnest(taken) WITH ORDINALITY AS t(id, place)
    JOIN cx.conversation AS c ON c.conversation_id = t.id
    ORDER BY t.place;
END
$$;

COMMENT ON FUNCTION cxm.take_conversations(integer, text, text) IS
'Gives owner the n conversations that have waited longest for an answer and that nobody has, of one channel or all, and returns them. Sessions that take at once get different ones and do not wait. Errors: n, owner (22023), no such channel (42704).';

CREATE FUNCTION cxm.link_conversation(conversation_id bigint, feedback_id bigint DEFAULT NULL, follow_up_id bigint DEFAULT NULL, actor text DEFAULT session_user) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conversation record;
BEGIN
    PERFORM cxm.check_participant(actor);

    IF link_conversation.feedback_id IS NULL AND link_conversation.follow_up_id IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a conversation is linked to a feedback, a follow-up or both';
    ELSIF link_conversation.feedback_id IS NOT NULL AND NOT EXISTS (SELECT FROM cx.feedback AS f WHERE f.feedback_id = link_conversation.feedback_id) THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('feedback %s does not exist', link_conversation.feedback_id);
    END IF;

    conversation := cxm.lock_conversation(conversation_id);

    UPDATE cx.conversation AS c
    SET feedback_id = coalesce(link_conversation.feedback_id, c.feedback_id), follow_up_id = coalesce(link_conversation.follow_up_id, c.follow_up_id)
    WHERE c.conversation_id = link_conversation.conversation_id;

    PERFORM cxm.conversation_changed(conversation_id, NULL, 'linked', actor,
        concat_ws(', ', 'feedback ' || link_conversation.feedback_id, 'follow-up ' || link_conversation.follow_up_id), conversation.state, conversation.owner);
END
$$;

COMMENT ON FUNCTION cxm.link_conversation(bigint, bigint, bigint, text) IS
'Says which feedback and follow-up a conversation is about; what is NULL stays as it is. Errors: neither (22023), no such feedback (23503), no such conversation (P0002).';

---- messages

CREATE FUNCTION cxm.receive_message(channel text, body text, identifiers jsonb DEFAULT NULL, source text DEFAULT 'app', external_id text DEFAULT NULL,
                                    thread text DEFAULT NULL, at timestamptz DEFAULT now(), subject text DEFAULT NULL, properties jsonb DEFAULT NULL,
                                    reopen_within interval DEFAULT interval '7 days', search_config regconfig DEFAULT 'pg_catalog.simple',
                                    OUT conversation_id bigint, OUT message_id bigint, OUT message_no integer, OUT is_new boolean) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- one message at a time: a plan for each call would cost more than the call
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    from_source CONSTANT integer := cxm.source_id(source);
    customer bigint;
BEGIN
    PERFORM cxm.check_delivery_channels(ARRAY[channel]);
    PERFORM cxm.check_conversation_input(identifiers, external_id, thread, at, properties, body);

    -- the same message may be coming in twice at this moment, and so may two first messages of one customer
    IF receive_message.external_id IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('cxm.conversation_message ' || from_source || ' ' || receive_message.external_id, 0));

        SELECT m.conversation_id, m.message_id, m.message_no, false
        INTO conversation_id, message_id, message_no, is_new
        FROM cx.conversation_message AS m
        WHERE m.source_id = from_source AND m.external_id = receive_message.external_id;

        IF FOUND THEN
            RETURN;
        END IF;
    END IF;

    customer := cxm.conversation_identifier(from_source, identifiers, channel, at);

    IF receive_message.thread IS NOT NULL THEN
        SELECT c.conversation_id INTO conversation_id FROM cx.conversation AS c WHERE c.source_id = from_source AND c.thread = receive_message.thread;
    ELSIF customer IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('cxm.conversation ' || customer || ' ' || channel, 0));

        SELECT c.conversation_id INTO conversation_id
        FROM cx.conversation AS c
        WHERE c.identifier_id = customer
          AND c.channel = receive_message.channel COLLATE "C"
          AND (c.state <> 'closed' OR c.state_at > now() - reopen_within)
        ORDER BY c.conversation_id DESC
        LIMIT 1;
    END IF;

    IF conversation_id IS NULL THEN
        INSERT INTO cx.conversation AS c (channel, identifier_id, subject, source_id, thread, search_config)
        VALUES (receive_message.channel, customer, receive_message.subject, from_source, receive_message.thread,
                coalesce(cxm.search_config_name(receive_message.search_config), 'pg_catalog.simple'))
        ON CONFLICT DO NOTHING
        RETURNING c.conversation_id INTO conversation_id;

        IF conversation_id IS NULL THEN
            SELECT c.conversation_id INTO conversation_id FROM cx.conversation AS c WHERE c.source_id = from_source AND c.thread = receive_message.thread;
        END IF;
    END IF;

    SELECT a.message_id, a.message_no INTO message_id, message_no
    FROM cxm.append_message(conversation_id, 'inbound', 'customer', body, channel, customer, false, nullif(properties, 'null'), from_source, external_id, at) AS a;
    is_new := true;

    -- a chat whose visitor has told who they are
    IF receive_message.thread IS NOT NULL AND customer IS NOT NULL THEN
        UPDATE cx.conversation AS c SET identifier_id = customer
        WHERE c.conversation_id = receive_message.conversation_id AND c.identifier_id IS NULL;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.receive_message(text, text, jsonb, text, text, text, timestamptz, text, jsonb, interval, regconfig) IS
'Takes a message from a customer. It goes into the conversation of that thread of the source; without a thread into the customer''s newest conversation on the channel that is not closed, or was closed less than reopen_within ago; else into a new one. A closed conversation is open again. identifiers: {"namespace": "value", ...} of the customer, NULL = anonymous; at: when it was written; external_id: the source''s own id: sent again, the first message comes back with is_new false and nothing changes. Listeners of cxm_conversation are told. Errors: an unknown channel (42704), no text (22004), too long a text (22001), identifiers, time or properties that cannot be (as in cxm.track()).';

CREATE FUNCTION cxm.send_message(conversation_id bigint, body text, participant text DEFAULT session_user, channel text DEFAULT NULL,
                                 properties jsonb DEFAULT NULL, is_automatic boolean DEFAULT false, not_before timestamptz DEFAULT NULL,
                                 source text DEFAULT NULL, external_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    from_source integer;
    conversation record;
    way text;
    receiver bigint;
    reply_to text;
    new_message record;
BEGIN
    PERFORM cxm.check_participant(participant);
    PERFORM cxm.check_conversation_input(NULL, external_id, NULL, now(), properties, body);

    IF send_message.external_id IS NOT NULL THEN
        from_source := cxm.source_id(coalesce(source, 'app'));
        PERFORM pg_advisory_xact_lock(hashtextextended('cxm.conversation_message ' || from_source || ' ' || send_message.external_id, 0));

        SELECT m.message_id INTO new_message FROM cx.conversation_message AS m
        WHERE m.source_id = from_source AND m.external_id = send_message.external_id;

        IF FOUND THEN
            RETURN new_message.message_id;
        END IF;
    END IF;

    conversation := cxm.lock_conversation(conversation_id);
    way := coalesce(send_message.channel, conversation.channel);

    IF conversation.state = 'closed' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('conversation %s is closed', send_message.conversation_id),
            HINT = 'Open it first, with cxm.set_conversation_state(); a note can be added all the same.';
    END IF;

    -- back to where the customer last wrote from on that channel
    SELECT m.identifier_id, m.external_id INTO receiver, reply_to
    FROM cx.conversation_message AS m
    WHERE m.conversation_id = send_message.conversation_id AND m.kind = 'inbound' AND m.channel = way COLLATE "C"
    ORDER BY m.message_no DESC
    LIMIT 1;

    receiver := coalesce(receiver, conversation.identifier_id);

    SELECT a.message_id, a.message_no INTO new_message
    FROM cxm.append_message(conversation_id, 'outbound', participant, body, way, receiver, coalesce(send_message.is_automatic, false),
                            nullif(properties, 'null'), from_source, external_id) AS a;

    PERFORM cxm.enqueue_deliveries('message', ARRAY[new_message.message_id], ARRAY[way], ARRAY[receiver],
        ARRAY[jsonb_strip_nulls(jsonb_build_object('conversation_id', send_message.conversation_id, 'message_id', new_message.message_id,
                                                   'message_no', new_message.message_no, 'participant', participant, 'subject', conversation.subject,
                                                   'thread', conversation.thread, 'in_reply_to', reply_to, 'text', body))
              || CASE WHEN jsonb_typeof(properties) = 'object' THEN jsonb_build_object('properties', properties) ELSE '{}' END],
        ARRAY[not_before]);
    RETURN new_message.message_id;
END
$$;

COMMENT ON FUNCTION cxm.send_message(bigint, text, text, text, jsonb, boolean, timestamptz, text, text) IS
'Writes to the customer of a conversation and returns the message_id. The message goes into the outbound queue (cx.delivery, kind message) in the same transaction, by the conversation''s channel or the one given, to where the customer last wrote from on it; the payload holds text, subject, participant, thread, in_reply_to (external_id of the customer''s last message there) and properties. The conversation waits for the customer then, unless is_automatic: that is no answer. not_before: not before this time. external_id: of the source (default app); sent again, the first message comes back and nothing is sent. Errors: it is closed (55000), no such conversation (P0002), no such channel (42704), no text (22004), too long a text (22001), a name that cannot be (22023).';

CREATE FUNCTION cxm.add_note(conversation_id bigint, body text, participant text DEFAULT session_user, properties jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.check_participant(participant);
    PERFORM cxm.check_conversation_input(NULL, NULL, NULL, now(), properties, body);
    RETURN (SELECT a.message_id FROM cxm.append_message(conversation_id, 'note', participant, body, properties => nullif(properties, 'null')) AS a);
END
$$;

COMMENT ON FUNCTION cxm.add_note(bigint, text, text, jsonb) IS
'Writes an internal note into a conversation, closed ones too, and returns its message_id. It is never sent, and the customer never sees it. Errors: no such conversation (P0002), no text (22004), too long a text (22001), a name that cannot be (22023).';

CREATE FUNCTION cxm.receive_message_json(record jsonb, source text, OUT problem cxm.problem, OUT is_new boolean) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone CONSTANT text := (cxm.ingest_limits()).time_zone;
    hint text;
    unreadable text := cxm.json_problem(record, '{channel,body,identifiers,external_id,thread,at,subject,properties}', '{}', zone);
BEGIN
    IF unreadable IS NOT NULL THEN
        problem := ('22023', unreadable, NULL)::cxm.problem;
        RETURN;
    END IF;

    BEGIN
        SELECT m.is_new INTO is_new
        FROM cxm.receive_message(record ->> 'channel', record ->> 'body', record -> 'identifiers', source, record ->> 'external_id', record ->> 'thread',
                                 coalesce(cxm.try_timestamptz(record ->> 'at', zone), now()), record ->> 'subject', record -> 'properties') AS m;
    EXCEPTION
        WHEN serialization_failure OR deadlock_detected OR query_canceled OR lock_not_available THEN
            RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            problem := (SQLSTATE, SQLERRM, nullif(hint, ''))::cxm.problem;
    END;
END
$$;

COMMENT ON FUNCTION cxm.receive_message_json(jsonb, text) IS
'Takes one message given as JSON, with the arguments of cxm.receive_message() as keys; says what is wrong with it (then nothing of it is stored), or whether it is new.';

CREATE FUNCTION cxm.receive_messages(records jsonb, source text DEFAULT 'app', OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    from_source CONSTANT integer := cxm.source_id(source);
    record jsonb;
    result record;
BEGIN
    accepted := 0;
    duplicates := 0;
    rejected := 0;

    FOR record IN SELECT r FROM cxm.json_records(records) AS r LOOP
        result := cxm.receive_message_json(record, source);

        IF (result.problem).reason IS NOT NULL THEN
            rejected := rejected + cxm.reject_records(from_source, 'message', ARRAY[record ->> 'external_id'], ARRAY[record], ARRAY[result.problem]);
        ELSIF result.is_new THEN
            accepted := accepted + 1;
        ELSE
            duplicates := duplicates + 1;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.receive_messages(jsonb, text) IS
'Takes many messages from customers, in order: [{"channel": ..., "body": ..., "identifiers": {...}, "external_id": ..., "thread": ..., "at": ..., "subject": ..., "properties": {...}}, ...], each as cxm.receive_message() does. Refused ones go to cx.rejection (kind message) with the reason, to be replayed. Returns how many were stored, had been stored before, were refused. Error only when the batch is not an array, and on conflicts with other transactions, which are for the whole batch to be tried again.';

CREATE FUNCTION cxm.editable_message(message_id bigint, OUT conversation_id bigint, OUT kind text, OUT body text, OUT redacted_at timestamptz,
                                     OUT delivery_id bigint, OUT delivery_state text, OUT state text, OUT owner text, OUT search_config text) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT m.conversation_id INTO conversation_id FROM cx.conversation_message AS m WHERE m.message_id = editable_message.message_id;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('message %s does not exist', coalesce(editable_message.message_id::text, 'NULL'));
    END IF;

    SELECT c.state, c.owner, c.search_config INTO state, owner, search_config FROM cxm.lock_conversation(conversation_id) AS c;

    SELECT m.kind, m.body, m.redacted_at INTO kind, body, redacted_at
    FROM cx.conversation_message AS m
    WHERE m.message_id = editable_message.message_id;

    SELECT d.delivery_id, CASE WHEN d.state = 'claimed' AND d.due_at <= clock_timestamp() THEN 'pending' ELSE d.state END
    INTO delivery_id, delivery_state
    FROM cx.delivery AS d
    WHERE d.kind = 'message' AND d.record_id = editable_message.message_id
    FOR UPDATE;
END
$$;

COMMENT ON FUNCTION cxm.editable_message(bigint) IS
'Locks the conversation of a message and its delivery, and tells how they stand. Error P0002: no such message.';

CREATE FUNCTION cxm.edit_message(message_id bigint, body text, actor text DEFAULT session_user) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message record;
BEGIN
    IF actor IS DISTINCT FROM 'customer' THEN
        PERFORM cxm.check_participant(actor);
    END IF;

    PERFORM cxm.check_conversation_input(NULL, NULL, NULL, now(), NULL, body);
    message := cxm.editable_message(message_id);

    IF message.redacted_at IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('message %s cannot be edited', edit_message.message_id),
            DETAIL = format('It was redacted at %s.', message.redacted_at);
    ELSIF message.kind = 'outbound' AND coalesce(message.delivery_state, 'sent') IN ('sent', 'claimed') THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('message %s cannot be edited', edit_message.message_id),
            DETAIL = CASE message.delivery_state WHEN 'claimed' THEN 'A sender is at it.' ELSE 'The customer was sent it as it is.' END,
            HINT = 'Write another one.';
    ELSIF message.body = edit_message.body THEN
        RETURN false;
    END IF;

    UPDATE cx.conversation_message AS m
    SET body = edit_message.body,
        edited_at = clock_timestamp(),
        search = to_tsvector(cxm.search_config(message.search_config), left(edit_message.body, 100000))
    WHERE m.message_id = edit_message.message_id;

    UPDATE cx.delivery AS d
    SET payload = d.payload || jsonb_build_object('text', edit_message.body)
    WHERE d.delivery_id = message.delivery_id;

    PERFORM cxm.conversation_changed(message.conversation_id, message_id, 'edited', actor, message.body, message.state, message.owner);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.edit_message(bigint, text, text) IS
'Changes the text of a message; what it said before is kept in cx.conversation_event. A message to the customer can be changed while it waits to be sent, and goes out changed. True when it changed, false when it says that already. Errors: it was sent or is being sent, or was redacted (55000), no such message (P0002), no text (22004), too long a text (22001).';

CREATE FUNCTION cxm.redact_message(message_id bigint, reason text, actor text DEFAULT session_user) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message record;
BEGIN
    IF actor IS DISTINCT FROM 'customer' THEN
        PERFORM cxm.check_participant(actor);
    END IF;

    IF coalesce(redact_message.reason, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a redaction needs a reason';
    END IF;

    message := cxm.editable_message(message_id);

    IF message.redacted_at IS NOT NULL THEN
        RETURN false;
    ELSIF message.delivery_state = 'claimed' THEN
        RAISE object_in_use USING
            MESSAGE = format('message %s cannot be redacted now', redact_message.message_id),
            DETAIL = 'A sender is at it.',
            HINT = 'Try again when it has been sent.';
    END IF;

    UPDATE cx.conversation_message AS m
    SET body = '', properties = NULL, search = NULL, redacted_at = clock_timestamp()
    WHERE m.message_id = redact_message.message_id;

    -- earlier wordings, and what waits to be sent or was sent
    UPDATE cx.conversation_event AS e SET detail = NULL
    WHERE e.conversation_id = message.conversation_id AND e.message_id = redact_message.message_id AND e.event = 'edited';

    IF message.delivery_id IS NOT NULL THEN
        PERFORM cxm.cancel_delivery(message.delivery_id, 'the message was redacted') WHERE message.delivery_state IN ('pending', 'dead');
        UPDATE cx.delivery AS d SET payload = d.payload - 'text' - 'properties' - 'secret' WHERE d.delivery_id = message.delivery_id;
    END IF;

    PERFORM cxm.conversation_changed(message.conversation_id, message_id, 'redacted', actor, reason, message.state, message.owner);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.redact_message(bigint, text, text) IS
'Removes the content of a message for good: text, properties, earlier wordings, what the outbound queue holds of it; one that was not sent is withdrawn. That it was there, who removed it and why stays. True when this did so, false when it was done before. Errors: a sender is at it (55006), no reason (22023), no such message (P0002). (Dead rows until VACUUM, WAL and backups are another matter.)';

---- reading

CREATE FUNCTION cxm.mark_read(conversation_id bigint, participant text DEFAULT session_user, message_no integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_no integer;
BEGIN
    IF participant IS DISTINCT FROM 'customer' THEN
        PERFORM cxm.check_participant(participant);
    END IF;

    SELECT c.last_message_no INTO last_no FROM cx.conversation AS c WHERE c.conversation_id = mark_read.conversation_id;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('conversation %s does not exist', coalesce(mark_read.conversation_id::text, 'NULL'));
    ELSIF mark_read.message_no NOT BETWEEN 0 AND last_no THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('conversation %s has no message %s', mark_read.conversation_id, mark_read.message_no),
            DETAIL = format('Its last one is %s.', last_no);
    END IF;

    INSERT INTO cx.conversation_participant AS p (conversation_id, participant, role, last_read_no, last_read_at)
    VALUES (mark_read.conversation_id, mark_read.participant, CASE mark_read.participant WHEN 'customer' THEN 'customer' ELSE 'agent' END,
            coalesce(mark_read.message_no, last_no), clock_timestamp())
    ON CONFLICT ON CONSTRAINT conversation_participant_pkey DO UPDATE
    SET last_read_no = EXCLUDED.last_read_no, last_read_at = EXCLUDED.last_read_at
    WHERE p.last_read_no < EXCLUDED.last_read_no;

    RETURN cxm.unread_count(conversation_id, participant);
END
$$;

COMMENT ON FUNCTION cxm.mark_read(bigint, text, integer) IS
'Says that somebody (a name of yours, or customer) has read a conversation up to a message_no, NULL = up to the newest that this call sees, and returns how many are unread then. It never goes back. Who did not take part does from now on. Errors: no such message (22023), no such conversation (P0002).';

CREATE FUNCTION cxm.unread_count(conversation_id bigint, participant text DEFAULT session_user) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT count(*)
        FROM cx.conversation_participant AS p
        JOIN cx.conversation_message AS m ON m.conversation_id = p.conversation_id AND m.message_no > p.last_read_no
        WHERE p.conversation_id = unread_count.conversation_id
          AND p.participant = unread_count.participant
          AND m.participant <> p.participant
          AND (p.role = 'agent' OR m.kind <> 'note')
          AND m.redacted_at IS NULL);
END
$$;

COMMENT ON FUNCTION cxm.unread_count(bigint, text) IS
'How many messages of others somebody who takes part in a conversation has not read; notes do not count for the customer, redacted messages for nobody. 0 for who takes no part.';

CREATE FUNCTION cxm.unread_conversations(participant text DEFAULT session_user)
RETURNS TABLE (conversation_id bigint, unread bigint, first_unread_no integer, last_message_no integer, last_message_at timestamptz, state text, owner text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT c.conversation_id, u.unread, u.first_unread_no, c.last_message_no, c.last_message_at, c.state, c.owner
    FROM cx.conversation_participant AS p
    JOIN cx.conversation AS c ON c.conversation_id = p.conversation_id AND c.last_message_no > p.last_read_no
    CROSS JOIN LATERAL (
        SELECT count(*) AS unread, min(m.message_no) AS first_unread_no
        FROM cx.conversation_message AS m
        WHERE m.conversation_id = p.conversation_id
          AND m.message_no > p.last_read_no
          AND m.participant <> p.participant
          AND (p.role = 'agent' OR m.kind <> 'note')
          AND m.redacted_at IS NULL
    ) AS u
    WHERE p.participant = unread_conversations.participant
      AND u.unread > 0
    ORDER BY c.last_message_at DESC, c.conversation_id DESC;
END
$$;

COMMENT ON FUNCTION cxm.unread_conversations(text) IS
'The conversations in which somebody who takes part has unread messages, as cxm.unread_count() counts them, newest message first.';

CREATE TYPE cxm.found_message AS (
    message_id      bigint,
    rank            real
);

COMMENT ON TYPE cxm.found_message IS 'A message that cxm.search_messages() found, and how well it matches.';

CREATE FUNCTION cxm.search_messages(query text, max_rows integer DEFAULT 50, identifier_ids bigint[] DEFAULT NULL, since timestamptz DEFAULT '-infinity')
RETURNS TABLE (message_id bigint, conversation_id bigint, message_no integer, kind text, participant text, occurred_at timestamptz, rank real, body text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
-- how many messages have a word, only the word can tell
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    config text;
    many boolean;
    words tsquery;
    found cxm.found_message[] := '{}';
BEGIN
    IF (max_rows > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'max_rows must be greater than zero';
    ELSIF query IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'query must not be NULL';
    ELSIF length(query) > 4000 THEN
        RAISE program_limit_exceeded USING
            MESSAGE = format('a query of %s characters is too long', length(query)),
            HINT = 'Give the words that matter, in at most 4000 characters.';
    END IF;

    -- the configurations in use, one step in the index each
    config := (SELECT min(c.search_config) FROM cx.conversation AS c);
    many := (SELECT max(c.search_config) FROM cx.conversation AS c) <> config;

    WHILE config IS NOT NULL LOOP
        words := websearch_to_tsquery(cxm.search_config(config), query);

        IF numnode(words) > 0 THEN
            found := found || ARRAY(
                SELECT ROW(h.message_id, h.rank)::cxm.found_message
                FROM (
                    SELECT m.message_id, ts_rank(m.search, words) AS rank
                    FROM cx.conversation_message AS m
                    WHERE m.search @@ words
                      AND m.occurred_at >= since
                      AND (search_messages.identifier_ids IS NULL OR m.identifier_id = ANY (search_messages.identifier_ids))
                      AND (NOT many OR (SELECT c.search_config FROM cx.conversation AS c WHERE c.conversation_id = m.conversation_id) = config)
                    ORDER BY 2 DESC, m.message_id DESC
                    LIMIT max_rows
                ) AS h);
        END IF;

        config := (SELECT min(c.search_config) FROM cx.conversation AS c WHERE c.search_config > config);
    END LOOP;

    RETURN QUERY
    SELECT m.message_id, m.conversation_id, m.message_no, m.kind, m.participant, m.occurred_at, f.rank, m.body
    FROM (SELECT u.message_id, u.rank FROM unnest(found) AS u ORDER BY u.rank DESC, u.message_id DESC LIMIT max_rows) AS f
    JOIN cx.conversation_message AS m ON m.message_id = f.message_id
    ORDER BY f.rank DESC, m.message_id DESC;
END
$$;

COMMENT ON FUNCTION cxm.search_messages(text, integer, bigint[], timestamptz) IS
'Messages and notes with these words, in the syntax of websearch_to_tsquery, best first (ts_rank), newest first among equals, at most max_rows; of these identifiers (cx.identifier) and not before since, where given. Each conversation is searched by its own configuration. Of a message the first 100000 characters are searched. Nothing is found by a query without words. Errors: max_rows (22023), no query (22004), one of more than 4000 characters (54000).';
