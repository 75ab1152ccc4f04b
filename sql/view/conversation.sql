-- What people who talk with customers look at.

CREATE OR REPLACE VIEW cx.conversation_inbox AS
SELECT
    c.conversation_id,
    c.state,
    c.channel,
    c.subject,
    c.owner,
    p.canonical_id AS profile_id,
    c.unanswered_since,
    round(extract(epoch FROM now() - c.unanswered_since) / 60, 1) AS unanswered_minutes,
    c.last_message_no AS messages,
    c.last_message_at,
    c.feedback_id,
    c.follow_up_id
FROM cx.conversation AS c
LEFT JOIN cx.identifier AS i ON i.identifier_id = c.identifier_id
LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
WHERE c.state <> 'closed'
ORDER BY c.unanswered_since, c.conversation_id;

COMMENT ON VIEW cx.conversation_inbox IS 'Conversations that are not closed: those that wait longest for an answer first, those with nothing to answer last.';
COMMENT ON COLUMN cx.conversation_inbox.conversation_id IS 'The conversation (cx.conversation).';
COMMENT ON COLUMN cx.conversation_inbox.state IS 'open (it is our turn) or waiting (for the customer).';
COMMENT ON COLUMN cx.conversation_inbox.channel IS 'Channel on which it is held.';
COMMENT ON COLUMN cx.conversation_inbox.subject IS 'What it is about.';
COMMENT ON COLUMN cx.conversation_inbox.owner IS 'Who answers it; NULL = nobody yet.';
COMMENT ON COLUMN cx.conversation_inbox.profile_id IS 'Customer (cx.customer_360), as merges stand today; NULL = anonymous.';
COMMENT ON COLUMN cx.conversation_inbox.unanswered_since IS 'When the customer wrote the first message that nobody has answered; NULL = nothing to answer.';
COMMENT ON COLUMN cx.conversation_inbox.unanswered_minutes IS 'How long ago that is, in minutes, to a tenth.';
COMMENT ON COLUMN cx.conversation_inbox.messages IS 'Number of its messages and notes.';
COMMENT ON COLUMN cx.conversation_inbox.last_message_at IS 'When the newest of them came.';
COMMENT ON COLUMN cx.conversation_inbox.feedback_id IS 'Feedback that it is about (cx.feedback).';
COMMENT ON COLUMN cx.conversation_inbox.follow_up_id IS 'Follow-up that it belongs to (cx.follow_up).';

CREATE OR REPLACE VIEW cx.conversation_thread AS
SELECT
    m.conversation_id,
    m.message_no,
    m.message_id,
    m.kind,
    m.participant,
    m.channel,
    m.occurred_at,
    m.body,
    m.is_automatic,
    m.edited_at,
    m.redacted_at,
    d.state AS delivery_state,
    d.status AS delivery_status,
    d.reason AS delivery_reason,
    r.readers
FROM cx.conversation_message AS m
LEFT JOIN cx.delivery AS d ON d.kind = 'message' AND d.record_id = m.message_id AND m.kind = 'outbound'
CROSS JOIN LATERAL (
    SELECT jsonb_agg(p.participant ORDER BY p.participant) AS readers
    FROM cx.conversation_participant AS p
    WHERE p.conversation_id = m.conversation_id
      AND p.last_read_no >= m.message_no
      AND p.participant <> m.participant
      AND (p.role = 'agent' OR m.kind <> 'note')
) AS r
ORDER BY m.conversation_id, m.message_no;

COMMENT ON VIEW cx.conversation_thread IS 'Messages and notes in order, with what became of those to the customer and who has read them.';
COMMENT ON COLUMN cx.conversation_thread.conversation_id IS 'The conversation (cx.conversation).';
COMMENT ON COLUMN cx.conversation_thread.message_no IS 'Number of the message in it.';
COMMENT ON COLUMN cx.conversation_thread.message_id IS 'The message (cx.conversation_message).';
COMMENT ON COLUMN cx.conversation_thread.kind IS 'inbound, outbound or note.';
COMMENT ON COLUMN cx.conversation_thread.participant IS 'Who wrote it: customer, or a name of yours.';
COMMENT ON COLUMN cx.conversation_thread.channel IS 'Channel that it came or goes by; NULL for a note.';
COMMENT ON COLUMN cx.conversation_thread.occurred_at IS 'When it was written.';
COMMENT ON COLUMN cx.conversation_thread.body IS 'The text; empty once redacted.';
COMMENT ON COLUMN cx.conversation_thread.is_automatic IS 'Whether no person wrote it.';
COMMENT ON COLUMN cx.conversation_thread.edited_at IS 'When it was last changed; NULL = never.';
COMMENT ON COLUMN cx.conversation_thread.redacted_at IS 'When its content was removed; NULL = it is there.';
COMMENT ON COLUMN cx.conversation_thread.delivery_state IS 'How its delivery stands (cx.delivery.state); NULL = it has none, or one long finished and forgotten.';
COMMENT ON COLUMN cx.conversation_thread.delivery_status IS 'What the provider reported (cx.delivery.status).';
COMMENT ON COLUMN cx.conversation_thread.delivery_reason IS 'Why it failed or was withdrawn.';
COMMENT ON COLUMN cx.conversation_thread.readers IS 'Who else has read up to it, as a JSON array; NULL = nobody.';

CREATE OR REPLACE VIEW cx.conversation_response AS
SELECT
    a.channel,
    a.participant,
    count(*) AS answers,
    count(*) FILTER (WHERE a.is_first) AS first_answers,
    round((percentile_cont(0.5) WITHIN GROUP (ORDER BY a.seconds) FILTER (WHERE a.is_first))::numeric, 1) AS first_median_seconds,
    round((percentile_cont(0.9) WITHIN GROUP (ORDER BY a.seconds) FILTER (WHERE a.is_first))::numeric, 1) AS first_p90_seconds,
    round((percentile_cont(0.5) WITHIN GROUP (ORDER BY a.seconds))::numeric, 1) AS median_seconds,
    round((percentile_cont(0.9) WITHIN GROUP (ORDER BY a.seconds))::numeric, 1) AS p90_seconds
FROM (
    SELECT
        c.channel,
        m.participant,
        greatest(extract(epoch FROM m.occurred_at - m.asked_at), 0)::double precision AS seconds,
        m.message_no = min(m.message_no) OVER (PARTITION BY m.conversation_id) AS is_first
    FROM cx.conversation_message AS m
    JOIN cx.conversation AS c ON c.conversation_id = m.conversation_id
    WHERE m.asked_at IS NOT NULL
) AS a
GROUP BY GROUPING SETS ((a.channel, a.participant), (a.channel), (a.participant), ())
ORDER BY a.channel NULLS FIRST, a.participant NULLS FIRST;

COMMENT ON VIEW cx.conversation_response IS 'How long customers wait for answers, a row for each channel and person who answered, for each channel, each person and all together. An answer is the first message of a person to the customer after messages of the customer; the wait begins with the first of these. Nights and week-ends count. What is unanswered stands in cx.conversation_workload.';
COMMENT ON COLUMN cx.conversation_response.channel IS 'Channel of the conversation; NULL = all.';
COMMENT ON COLUMN cx.conversation_response.participant IS 'Who answered; NULL = everybody.';
COMMENT ON COLUMN cx.conversation_response.answers IS 'Number of answers.';
COMMENT ON COLUMN cx.conversation_response.first_answers IS 'How many of them were the first answer in their conversation.';
COMMENT ON COLUMN cx.conversation_response.first_median_seconds IS 'Median wait for the first answer, in seconds; NULL = there is none.';
COMMENT ON COLUMN cx.conversation_response.first_p90_seconds IS 'Wait for the first answer that nine in ten did not exceed (90th percentile, interpolated), in seconds.';
COMMENT ON COLUMN cx.conversation_response.median_seconds IS 'Median wait for any answer, in seconds.';
COMMENT ON COLUMN cx.conversation_response.p90_seconds IS '90th percentile of the wait for any answer, in seconds.';

CREATE OR REPLACE VIEW cx.conversation_workload AS
SELECT
    c.channel,
    c.owner,
    count(*) FILTER (WHERE c.state = 'open') AS open,
    count(*) FILTER (WHERE c.state = 'waiting') AS waiting,
    count(c.unanswered_since) AS unanswered,
    min(c.unanswered_since) AS oldest_unanswered_since
FROM cx.conversation AS c
WHERE c.state <> 'closed'
GROUP BY c.channel, c.owner
ORDER BY c.channel, c.owner NULLS FIRST;

COMMENT ON VIEW cx.conversation_workload IS 'Conversations that are not closed, counted by channel and owner.';
COMMENT ON COLUMN cx.conversation_workload.channel IS 'Channel on which they are held.';
COMMENT ON COLUMN cx.conversation_workload.owner IS 'Who answers them; NULL = nobody yet.';
COMMENT ON COLUMN cx.conversation_workload.open IS 'How many are open: it is our turn.';
COMMENT ON COLUMN cx.conversation_workload.waiting IS 'How many wait for the customer.';
COMMENT ON COLUMN cx.conversation_workload.unanswered IS 'How many have a message of the customer that nobody has answered.';
COMMENT ON COLUMN cx.conversation_workload.oldest_unanswered_since IS 'Since when the longest waiting customer has been waiting; NULL = nobody waits.';
