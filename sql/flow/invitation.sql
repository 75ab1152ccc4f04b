-- Inviting people, and what becomes of an invitation.

---- states

CREATE FUNCTION cxm.invitation_moves(state text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE state
        WHEN 'scheduled' THEN '{sent,opened,responded,expired,revoked,bounced,suppressed}'
        WHEN 'sent' THEN '{opened,responded,expired,revoked,bounced}'
        WHEN 'opened' THEN '{responded,expired,revoked}'
        WHEN 'bounced' THEN '{sent,opened,responded,expired,revoked}'
        ELSE '{}' END::pg_catalog.text[];

COMMENT ON FUNCTION cxm.invitation_moves(text) IS
'The states that an invitation can go to from this one; {} from responded, expired, revoked and suppressed, which are final. A bounced one can still be sent, when its delivery is tried again, and opened, when its token came another way.';

CREATE FUNCTION cxm.guard_invitation() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.state <> ALL (cxm.invitation_moves(OLD.state)) THEN
        RAISE EXCEPTION 'invitation % cannot go from % to %', OLD.invitation_id, OLD.state, NEW.state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN cxm.invitation_moves(OLD.state) = '{}' THEN format('%s is final.', OLD.state)
                                ELSE format('From %s it can go to %s.', OLD.state, array_to_string(cxm.invitation_moves(OLD.state), ', ')) END,
                  HINT = 'Invite the person anew with cxm.invite().';
    END IF;
    IF NEW.state IN ('responded', 'expired', 'revoked', 'suppressed') THEN
        NEW.remind_at := NULL;
    END IF;
    IF NEW.state IN ('expired', 'revoked', 'bounced') THEN
        NEW.closed_at := coalesce(NEW.closed_at, clock_timestamp());
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.guard_invitation() IS
'Trigger of cx.invitation: lets a state change only as cxm.invitation_moves() says (error 55000), and stops reminders of what is over.';

---- inviting

CREATE FUNCTION cxm.person_identifier(identifiers jsonb, source text, at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM cxm.store_version();
    PERFORM cxm.raise_problem(cxm.identifiers_problem(nullif(identifiers, 'null'), (cxm.ingest_limits()).namespaces));
    v_id := (cxm.resolve_identifiers(cxm.source_id(source), ARRAY[coalesce(nullif(identifiers, 'null'), '{}')], ARRAY[at]))[1];
    IF v_id IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'no identifier was given',
            HINT = 'Say whom it is about: {"email": "ann@example.com"}.';
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.person_identifier(jsonb, text, timestamptz) IS
'identifier_id of the strongest of the identifiers of one person; new ones are added and linked. Error 22004 without an identifier, 22023 on an unknown namespace or an unusable value.';

CREATE FUNCTION cxm.draft_invitations(identifier_ids bigint[], channels text[], purpose text, send_at timestamptz[], attributes jsonb[], record_ids bigint[])
RETURNS cxm.invitation_draft[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
#variable_conflict use_column
DECLARE
    v_sequence CONSTANT regclass := pg_get_serial_sequence('cx.invitation', 'invitation_id');
BEGIN
    PERFORM cxm.plan_for(cardinality(identifier_ids));
    IF channels IS NULL THEN
        RETURN ARRAY(
            SELECT (nextval(v_sequence), d.identifier_id, d.canonical_id, d.turn, d.at, d.at, NULL, d.attributes, d.record_id, NULL, NULL, NULL, NULL)::cxm.invitation_draft
            FROM (SELECT u.*, p.canonical_id, (row_number() OVER (PARTITION BY p.canonical_id ORDER BY u.place))::integer AS turn
                  FROM ROWS FROM (unnest(draft_invitations.identifier_ids), unnest(draft_invitations.send_at), unnest(draft_invitations.attributes), unnest(draft_invitations.record_ids))
                       WITH ORDINALITY AS u(identifier_id, at, attributes, record_id, place)
                  JOIN cx.identifier AS i ON i.identifier_id = u.identifier_id
                  JOIN cx.profile AS p ON p.profile_id = i.profile_id
                  ORDER BY u.place) AS d);
    END IF;

    RETURN ARRAY(
        WITH wanted AS MATERIALIZED (
            SELECT w.channel, w.place, k.namespaces
            FROM unnest(draft_invitations.channels) WITH ORDINALITY AS w(channel, place)
            JOIN cx.delivery_channel AS k ON k.channel = w.channel COLLATE "C"
        ), consent AS MATERIALIZED (
            SELECT c.identifier_id, c.channel FROM cxm.consent_of(draft_invitations.identifier_ids, channels, purpose) AS c WHERE c.granted
        ), asked AS MATERIALIZED (
            SELECT i.identifier_id, p.canonical_id
            FROM (SELECT DISTINCT u.id FROM unnest(draft_invitations.identifier_ids) AS u(id)) AS u
            JOIN cx.identifier AS i ON i.identifier_id = u.id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
        ), reachable AS MATERIALIZED (
            -- as cxm.delivery_address() will find it
            SELECT DISTINCT m.canonical_id, w.channel
            FROM cxm.profile_identifiers(ARRAY(SELECT DISTINCT a.canonical_id FROM asked AS a)) AS m
            JOIN cx.identifier AS i ON i.identifier_id = m.identifier_id
            JOIN wanted AS w ON i.namespace = ANY (w.namespaces COLLATE "C")
            WHERE i.quarantined IS NULL
        ), chosen AS MATERIALIZED (
            -- the first channel with consent and address
            SELECT a.identifier_id, a.canonical_id,
                   (array_agg(w.channel ORDER BY w.place) FILTER (WHERE w.namespaces IS NULL OR r.channel IS NOT NULL))[1] AS channel,
                   count(w.channel) AS consented
            FROM asked AS a
            LEFT JOIN consent AS c ON c.identifier_id = a.identifier_id
            LEFT JOIN wanted AS w ON w.channel = c.channel COLLATE "C"
            LEFT JOIN reachable AS r ON r.canonical_id = a.canonical_id AND r.channel = w.channel
            GROUP BY a.identifier_id, a.canonical_id
        )
        SELECT (nextval(v_sequence), d.identifier_id, d.canonical_id, d.turn, d.at, d.at, d.channel, d.attributes, d.record_id,
                CASE WHEN d.channel IS NOT NULL THEN NULL WHEN d.consented = 0 THEN 'consent' ELSE 'address' END, NULL, NULL,
                CASE WHEN d.channel IS NULL THEN jsonb_build_object('channels', channels) END)::cxm.invitation_draft
        FROM (SELECT u.*, c.canonical_id, c.channel, c.consented, (row_number() OVER (PARTITION BY c.canonical_id ORDER BY u.place))::integer AS turn
              FROM ROWS FROM (unnest(draft_invitations.identifier_ids), unnest(draft_invitations.send_at), unnest(draft_invitations.attributes), unnest(draft_invitations.record_ids))
                   WITH ORDINALITY AS u(identifier_id, at, attributes, record_id, place)
              JOIN chosen AS c ON c.identifier_id = u.identifier_id
              ORDER BY u.place) AS d);
END
$$;

COMMENT ON FUNCTION cxm.draft_invitations(bigint[], text[], text, timestamptz[], jsonb[], bigint[]) IS
'Drafts of invitations, in the order of identifier_ids (unknown ones give none): each has a number, its person, and the first of the channels for which there is consent and an address; one without is suppressed by consent or by address. channels NULL: no channel, nothing is sent.';

CREATE FUNCTION cxm.store_invitations(drafts cxm.invitation_draft[], kind text, survey_id integer, purpose text, expires_in interval,
                                      language text, reminders integer, remind_every interval, trigger_id integer DEFAULT NULL, step_id integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
DECLARE
    v_turn cxm.invitation_draft[];
    v_limited boolean;
    v_stored bigint := 0;
    v_rows bigint;
BEGIN
    PERFORM cxm.plan_for(cardinality(drafts));
    v_limited := EXISTS (SELECT FROM cx.fatigue_rule AS r
                         WHERE r.enabled AND (r.purpose IS NULL OR r.purpose = store_invitations.purpose COLLATE "C")
                           AND (r.survey_id IS NULL OR r.survey_id = store_invitations.survey_id)
                           AND store_invitations.purpose <> ALL (r.except_purposes) AND store_invitations.survey_id <> ALL (r.except_surveys));
    IF v_limited THEN
        PERFORM cxm.lock_people(ARRAY(SELECT d.identifier_id FROM unnest(drafts) AS d WHERE d.suppressed_by IS NULL));
        -- who is who is certain from here on
        drafts := ARRAY(
            SELECT (d.invitation_id, d.identifier_id, p.canonical_id, row_number() OVER (PARTITION BY p.canonical_id ORDER BY d.place), d.asked_for, d.send_at,
                    d.channel, d.attributes, d.record_id, d.suppressed_by, d.rule_id, d.quota_id, d.detail)::cxm.invitation_draft
            FROM unnest(drafts) WITH ORDINALITY AS d(invitation_id, identifier_id, profile_id, turn, asked_for, send_at, channel, attributes, record_id,
                                                     suppressed_by, rule_id, quota_id, detail, place)
            JOIN cx.identifier AS i ON i.identifier_id = d.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            ORDER BY d.place);
    END IF;

    -- several for one person go one after the other, so that the later ones count the earlier
    FOR v_number IN 1 .. CASE WHEN v_limited THEN coalesce((SELECT max(d.turn) FROM unnest(drafts) AS d), 0) ELSE 1 END LOOP
        v_turn := drafts;
        IF v_limited THEN
            v_turn := cxm.apply_fatigue(ARRAY(SELECT d FROM unnest(drafts) AS d WHERE d.turn = v_number), purpose, survey_id);
        END IF;
        IF kind = 'survey' THEN
            v_turn := cxm.apply_quotas(v_turn, survey_id);
        END IF;

        INSERT INTO cx.invitation (invitation_id, kind, survey_id, identifier_id, purpose, channel, attributes, language, state, asked_for, send_at, sent_at, expires_at,
                                   response_id, reminders_left, remind_every, trigger_id, step_id, record_id, suppressed_by, rule_id, quota_id, detail)
        SELECT d.invitation_id, store_invitations.kind, store_invitations.survey_id, d.identifier_id, store_invitations.purpose, d.channel, d.attributes,
               store_invitations.language,
               CASE WHEN d.suppressed_by IS NOT NULL THEN 'suppressed' WHEN d.channel IS NULL THEN 'sent' ELSE 'scheduled' END,
               d.asked_for, d.send_at, CASE WHEN d.suppressed_by IS NULL AND d.channel IS NULL THEN d.send_at END, d.send_at + expires_in,
               CASE WHEN store_invitations.step_id IS NOT NULL THEN d.record_id END,
               CASE WHEN d.suppressed_by IS NULL AND d.channel IS NOT NULL THEN reminders ELSE 0 END, store_invitations.remind_every,
               store_invitations.trigger_id, store_invitations.step_id, d.record_id,
               d.suppressed_by, d.rule_id, d.quota_id, d.detail
        FROM unnest(v_turn) AS d
        ORDER BY d.invitation_id;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_stored := v_stored + v_rows;
    END LOOP;
    RETURN v_stored;
END
$$;

COMMENT ON FUNCTION cxm.store_invitations(cxm.invitation_draft[], text, integer, text, interval, text, integer, interval, integer, integer) IS
'Holds drafts against fatigue rules and quotas and writes them into cx.invitation, also those that are suppressed; returns how many. Quotas are for invitations of kind survey.';

CREATE FUNCTION cxm.check_invitation(survey_id integer, channels text[], purpose text, send_at timestamptz, expires_in interval, attributes jsonb,
                                     reminders integer, remind_every interval) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_state text;
BEGIN
    PERFORM cxm.store_version();
    SELECT s.state INTO v_state FROM cx.survey AS s WHERE s.survey_id = check_invitation.survey_id;
    IF v_state IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('survey %s does not exist', coalesce(survey_id::text, 'NULL')),
            HINT = 'The surveys are in cx.survey.';
    ELSIF v_state <> 'active' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('survey %s is not open', survey_id),
            DETAIL = format('It is %s.', v_state),
            HINT = 'People are invited to active surveys.';
    ELSIF channels = '{}' OR array_position(channels, NULL) IS NOT NULL OR array_ndims(channels) > 1 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'channels are no list of names',
            HINT = 'Give channels in order of preference, such as {email,sms}; NULL when you hand the token over yourself.';
    ELSIF (purpose ~ '^[a-z][a-z0-9_]{0,62}$') IS NOT TRUE THEN
        RAISE invalid_name USING
            MESSAGE = format('purpose %s is not a name', coalesce('"' || left(purpose, 100) || '"', 'NULL')),
            HINT = 'Use lower-case letters, digits and underscores, beginning with a letter.';
    ELSIF purpose IN ('thank_you', 'referral_ask', 'review_ask') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('purpose %s is not one of invitations', purpose),
            DETAIL = 'Thanks and asks follow a response, the same for every score.',
            HINT = 'Add a step to the survey with cxm.add_survey_step().';
    ELSIF NOT coalesce(isfinite(send_at), false) THEN
        RAISE datetime_field_overflow USING
            MESSAGE = 'send_at must be a finite time';
    ELSIF (expires_in > '0') IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'expires_in must be longer than zero';
    ELSIF jsonb_typeof(attributes) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'attributes are not a JSON object',
            HINT = 'Give what rules and quotas may go by, such as {"brand": "north"}, or {}.';
    ELSIF (reminders BETWEEN 0 AND 100) IS NOT TRUE OR (reminders > 0 AND (remind_every > '0') IS NOT TRUE) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('there cannot be %s reminders every %s', coalesce(reminders::text, 'NULL'), coalesce(remind_every::text, 'NULL')),
            HINT = 'Give 0 to 100 reminders and a time longer than zero between them.';
    END IF;
    PERFORM cxm.check_delivery_channels(channels);
END
$$;

COMMENT ON FUNCTION cxm.check_invitation(integer, text[], text, timestamptz, interval, jsonb, integer, interval) IS
'Raises an error that says what is wrong with the terms of an invitation: no such survey or channel (42704), a survey that is not open (55000), a purpose, time, list or number that is none (42602, 22008, 22023).';

CREATE FUNCTION cxm.invite_batch(survey_id integer, identifier_ids bigint[], channels text[] DEFAULT '{email}', purpose text DEFAULT 'survey',
                                 send_at timestamptz DEFAULT now(), expires_in interval DEFAULT interval '30 days', attributes jsonb DEFAULT '{}',
                                 language text DEFAULT NULL, reminders integer DEFAULT 0, remind_every interval DEFAULT interval '3 days',
                                 OUT scheduled bigint, OUT delayed bigint, OUT suppressed bigint, OUT unknown bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_drafts cxm.invitation_draft[];
BEGIN
    PERFORM cxm.check_invitation(survey_id, channels, purpose, send_at, expires_in, attributes, reminders, remind_every);
    IF array_ndims(identifier_ids) > 1 THEN
        RAISE array_subscript_error USING
            MESSAGE = 'identifier_ids must be an array of one dimension';
    END IF;
    identifier_ids := coalesce(identifier_ids, '{}');
    v_drafts := cxm.draft_invitations(identifier_ids, channels, purpose, array_fill(send_at, ARRAY[cardinality(identifier_ids)]),
                                      array_fill(attributes, ARRAY[cardinality(identifier_ids)]), NULL);
    PERFORM cxm.store_invitations(v_drafts, 'survey', survey_id, purpose, expires_in, language, reminders, remind_every);

    SELECT count(*) FILTER (WHERE n.state <> 'suppressed'), count(*) FILTER (WHERE n.state <> 'suppressed' AND n.send_at > n.asked_for),
           count(*) FILTER (WHERE n.state = 'suppressed')
    INTO scheduled, delayed, suppressed
    FROM cx.invitation AS n
    WHERE n.invitation_id = ANY (ARRAY(SELECT d.invitation_id FROM unnest(v_drafts) AS d));
    unknown := cardinality(identifier_ids) - cardinality(v_drafts);
END
$$;

COMMENT ON FUNCTION cxm.invite_batch(integer, bigint[], text[], text, timestamptz, interval, jsonb, text, integer, interval) IS
'Invites the people with these identifiers (cx.identifier; ARRAY(any query)) to a survey, an invitation each entry: by the first of the channels for which there is consent and an address (NULL: none, nothing is sent), for a purpose, at send_at, valid for expires_in from then, with so many reminders remind_every apart while there is no response. attributes: what fatigue rules and quotas go by. Returns how many are scheduled, how many of these later than asked for, how many were suppressed (each a row of cx.invitation that says why), and how many identifiers are unknown. They go out when cxm.send_invitations() runs. Errors: see cxm.check_invitation().';

CREATE FUNCTION cxm.issue_tokens(invitation_ids bigint[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tokens text[] := ARRAY(SELECT cxm.random_token() FROM unnest(invitation_ids));
BEGIN
    INSERT INTO cx.invitation_token (token_hash, invitation_id)
    SELECT cxm.token_hash(t.token), t.id FROM unnest(v_tokens, invitation_ids) AS t(token, id);
    RETURN v_tokens;
END
$$;

COMMENT ON FUNCTION cxm.issue_tokens(bigint[]) IS
'Makes a token for each invitation and returns them in order; stored are their hashes only.';

CREATE FUNCTION cxm.invite(survey_id integer, identifiers jsonb, channels text[] DEFAULT NULL, purpose text DEFAULT 'survey',
                           send_at timestamptz DEFAULT now(), expires_in interval DEFAULT interval '30 days', attributes jsonb DEFAULT '{}',
                           language text DEFAULT NULL, reminders integer DEFAULT 0, remind_every interval DEFAULT interval '3 days', source text DEFAULT 'app',
                           OUT invitation_id bigint, OUT token text, OUT state text, OUT channel text, OUT send_time timestamptz,
                           OUT suppressed_by text, OUT detail jsonb) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_identifier bigint;
    v_drafts cxm.invitation_draft[];
BEGIN
    PERFORM cxm.check_invitation(survey_id, channels, purpose, send_at, expires_in, attributes, reminders, remind_every);
    v_identifier := cxm.person_identifier(identifiers, source);
    v_drafts := cxm.draft_invitations(ARRAY[v_identifier], channels, purpose, ARRAY[send_at], ARRAY[attributes], NULL);
    PERFORM cxm.store_invitations(v_drafts, 'survey', survey_id, purpose, expires_in, language, reminders, remind_every);
    SELECT n.invitation_id, n.state, n.channel, n.send_at, n.suppressed_by, n.detail
    INTO invitation_id, state, channel, send_time, suppressed_by, detail
    FROM cx.invitation AS n WHERE n.invitation_id = v_drafts[1].invitation_id;
    IF state <> 'suppressed' THEN
        token := (cxm.issue_tokens(ARRAY[invitation_id]))[1];
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.invite(integer, jsonb, text[], text, timestamptz, interval, jsonb, text, integer, interval, text) IS
'Invites one person to a survey. With channels it goes out by the first of them for which there is consent and an address, when cxm.send_invitations() runs; without (the default) nothing is sent and you hand the token over, on a receipt say. token opens the survey and is shown here once (NULL when the invitation was suppressed; suppressed_by and detail say why). Other arguments as of cxm.invite_batch(). Error 22004 without an identifier; others see cxm.check_invitation().';

---- the token comes back

CREATE FUNCTION cxm.redeem_token(token text, OUT invitation_id bigint, OUT survey_id integer, OUT identifier_id bigint, OUT language text, OUT response_id bigint)
RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_invitation cx.invitation;
BEGIN
    SELECT n.* INTO v_invitation
    FROM cx.invitation AS n
    WHERE n.invitation_id = (SELECT t.invitation_id FROM cx.invitation_token AS t WHERE t.token_hash = cxm.token_hash(redeem_token.token))
    FOR NO KEY UPDATE;

    -- what the token was is not repeated: messages end up in logs
    IF v_invitation.invitation_id IS NULL OR v_invitation.kind <> 'survey' OR v_invitation.state = 'suppressed' THEN
        RAISE EXCEPTION 'the token is not known'
            USING ERRCODE = 'CX001',
                  HINT = 'A token is copied whole, as it stands in the link.';
    ELSIF v_invitation.state = 'revoked' THEN
        RAISE EXCEPTION 'the invitation was taken back'
            USING ERRCODE = 'CX003',
                  DETAIL = format('Invitation %s was revoked at %s.', v_invitation.invitation_id, v_invitation.closed_at);
    ELSIF v_invitation.state = 'expired' OR (v_invitation.state <> 'responded' AND v_invitation.expires_at <= clock_timestamp()) THEN
        RAISE EXCEPTION 'the invitation has expired'
            USING ERRCODE = 'CX002',
                  DETAIL = format('Invitation %s was open until %s.', v_invitation.invitation_id, v_invitation.expires_at),
                  HINT = 'Invite the person anew with cxm.invite().';
    END IF;

    IF v_invitation.state IN ('scheduled', 'sent', 'bounced') THEN
        UPDATE cx.invitation AS n
        SET state = 'opened', opened_at = clock_timestamp(), sent_at = coalesce(n.sent_at, clock_timestamp()), closed_at = NULL,
            remind_at = CASE WHEN n.reminders_left > 0 THEN coalesce(n.remind_at, clock_timestamp() + n.remind_every) END
        WHERE n.invitation_id = v_invitation.invitation_id;
    END IF;
    invitation_id := v_invitation.invitation_id;
    survey_id := v_invitation.survey_id;
    identifier_id := v_invitation.identifier_id;
    language := v_invitation.language;
    response_id := v_invitation.response_id;
END
$$;

COMMENT ON FUNCTION cxm.redeem_token(text) IS
'The invitation that a token opens, locked till the end of the transaction, and marked as opened. response_id: the response that was given to it already; NULL while it is unused. Errors: CX001 not known (also of what cannot be a token), CX002 expired, CX003 revoked.';

CREATE FUNCTION cxm.complete_invitation(invitation_id bigint, response_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_invitation cx.invitation;
BEGIN
    SELECT n.* INTO v_invitation FROM cx.invitation AS n WHERE n.invitation_id = complete_invitation.invitation_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('invitation %s does not exist', coalesce(complete_invitation.invitation_id::text, 'NULL'));
    ELSIF complete_invitation.response_id IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = format('invitation %s is completed by no response', complete_invitation.invitation_id);
    ELSIF v_invitation.state = 'responded' THEN
        IF v_invitation.response_id IS DISTINCT FROM complete_invitation.response_id THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('invitation %s was answered already', complete_invitation.invitation_id),
                DETAIL = format('Response %s was given to it at %s.', v_invitation.response_id, v_invitation.responded_at);
        END IF;
        RETURN;
    END IF;

    UPDATE cx.invitation AS n
    SET state = 'responded', response_id = complete_invitation.response_id, responded_at = clock_timestamp(),
        sent_at = coalesce(n.sent_at, clock_timestamp()), opened_at = coalesce(n.opened_at, clock_timestamp())
    WHERE n.invitation_id = complete_invitation.invitation_id;
    PERFORM cxm.withdraw_invitations(ARRAY[complete_invitation.invitation_id], 'answered');
    IF NOT EXISTS (SELECT FROM cx.response AS r WHERE r.response_id = complete_invitation.response_id AND r.state = 'screened_out') THEN
        PERFORM cxm.start_survey_steps(v_invitation.survey_id, complete_invitation.response_id, v_invitation.identifier_id, v_invitation.attributes);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.complete_invitation(bigint, bigint) IS
'Marks an invitation as used by a response, stops its reminders and starts what follows a response that was not screened out (cx.survey_step). Said again with the same response it changes nothing. Error P0002: no such invitation; 55000: another response was given to it, or it is over.';

CREATE FUNCTION cxm.withdraw_invitations(invitation_ids bigint[], reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- what a sender is at goes out; waiting for it could end in a deadlock, for it may wait for the invitation
    RETURN cxm.cancel_locked_deliveries(ARRAY(
        SELECT d.delivery_id
        FROM cx.delivery AS d
        WHERE d.kind = 'invitation' AND d.record_id = ANY (invitation_ids)
          AND (d.state IN ('pending', 'dead') OR (d.state = 'claimed' AND d.due_at <= clock_timestamp()))
        ORDER BY d.delivery_id
        FOR UPDATE SKIP LOCKED), reason);
END
$$;

COMMENT ON FUNCTION cxm.withdraw_invitations(bigint[], text) IS
'Takes the messages of invitations that no sender is at back from the queue of deliveries; returns how many.';

CREATE FUNCTION cxm.revoke_invitations(invitation_ids bigint[], reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
BEGIN
    PERFORM cxm.check_reason(reason);
    WITH open AS MATERIALIZED (
        SELECT n.invitation_id FROM cx.invitation AS n
        WHERE n.invitation_id = ANY (invitation_ids) AND n.state IN ('scheduled', 'sent', 'opened', 'bounced')
        ORDER BY n.invitation_id
        FOR NO KEY UPDATE
    ), gone AS (
        UPDATE cx.invitation AS n
        SET state = 'revoked', detail = coalesce(n.detail, '{}') || jsonb_build_object('reason', reason)
        FROM open AS o
        WHERE n.invitation_id = o.invitation_id
        RETURNING n.invitation_id
    )
    SELECT coalesce(array_agg(g.invitation_id), '{}') INTO v_ids FROM gone AS g;
    PERFORM cxm.withdraw_invitations(v_ids, 'revoked: ' || reason);
    -- an invitation that nobody got gives its place back
    PERFORM cxm.release_quota(n.invitation_id, ARRAY(SELECT q.quota_id FROM cx.quota AS q WHERE q.basis = 'invitation' ORDER BY q.quota_id))
    FROM cx.invitation AS n WHERE n.invitation_id = ANY (v_ids) AND n.sent_at IS NULL AND n.kind = 'survey';
    RETURN cardinality(v_ids);
END
$$;

COMMENT ON FUNCTION cxm.revoke_invitations(bigint[], text) IS
'Takes invitations back that nobody has responded to, and their messages that were not sent; their tokens are refused from now on. One that had not been sent counts no more for fatigue rules and quotas. Returns how many; those that are over already stay. Error 22023: no reason.';

---- what the sender says

CREATE FUNCTION cxm.invitation_delivered() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_delivery AS d WHERE d.kind = 'invitation' AND (d.state IN ('sent', 'dead', 'cancelled') OR d.status IS NOT NULL)) THEN
        RETURN NULL;
    END IF;

    WITH told AS MATERIALIZED (
        SELECT n.invitation_id, max(d.sent_at) AS sent_at,
               bool_or(d.status IN ('opened', 'clicked')) AS is_opened, bool_or(d.state = 'sent') AS is_sent, bool_or(d.state = 'dead') AS is_dead,
               bool_or(d.state = 'cancelled') AS is_cancelled
        FROM new_delivery AS d
        JOIN cx.invitation AS n ON n.invitation_id = d.record_id
        WHERE d.kind = 'invitation' AND n.state IN ('scheduled', 'sent', 'bounced')
        GROUP BY n.invitation_id
    ), held AS MATERIALIZED (
        SELECT n.invitation_id, n.state, t.sent_at,
               CASE WHEN t.is_opened THEN 'opened' WHEN t.is_sent AND n.state <> 'sent' THEN 'sent' WHEN t.is_dead AND NOT t.is_sent AND n.state <> 'bounced' THEN 'bounced'
                    -- whoever takes the first message back takes the invitation back
                    WHEN t.is_cancelled AND n.state = 'scheduled' THEN 'revoked' END AS next
        FROM cx.invitation AS n
        JOIN told AS t ON t.invitation_id = n.invitation_id
        WHERE n.state IN ('scheduled', 'sent', 'bounced')
        ORDER BY n.invitation_id
        FOR NO KEY UPDATE OF n
    )
    UPDATE cx.invitation AS n
    SET state = h.next,
        sent_at = CASE WHEN h.next IN ('bounced', 'revoked') THEN n.sent_at ELSE coalesce(n.sent_at, h.sent_at, clock_timestamp()) END,
        opened_at = CASE h.next WHEN 'opened' THEN clock_timestamp() END,
        closed_at = CASE WHEN h.next IN ('bounced', 'revoked') THEN clock_timestamp() END,
        remind_at = CASE WHEN h.next IN ('bounced', 'revoked') THEN NULL WHEN n.reminders_left > 0 THEN coalesce(n.remind_at, coalesce(h.sent_at, clock_timestamp()) + n.remind_every) END
    FROM held AS h
    WHERE n.invitation_id = h.invitation_id AND h.next IS NOT NULL;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.invitation_delivered() IS
'Trigger of cx.delivery: what senders and providers say of a message carries over to its invitation: sent, opened, bounced (given up for good), revoked (cancelled before it was sent).';
