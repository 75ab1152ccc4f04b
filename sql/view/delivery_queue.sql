-- How the way out stands: what waits, what is stuck, what came back.

CREATE OR REPLACE VIEW cx.delivery_queue AS
SELECT
    k.channel,
    coalesce(q.waiting, 0) AS waiting,
    coalesce(q.scheduled, 0) AS scheduled,
    coalesce(q.retrying, 0) AS retrying,
    coalesce(q.claimed, 0) AS claimed,
    coalesce(q.lapsed, 0) AS lapsed,
    coalesce(x.dead, 0) AS dead,
    q.oldest_due_at,
    round(extract(epoch FROM now() - q.oldest_due_at), 1) AS delay_seconds
FROM cx.delivery_channel AS k
LEFT JOIN (
    SELECT
        d.channel,
        count(*) FILTER (WHERE d.state = 'pending' AND d.due_at <= now()) AS waiting,
        count(*) FILTER (WHERE d.state = 'pending' AND d.due_at > now() AND d.attempts < d.first_attempt) AS scheduled,
        count(*) FILTER (WHERE d.state = 'pending' AND d.due_at > now() AND d.attempts >= d.first_attempt) AS retrying,
        count(*) FILTER (WHERE d.state = 'claimed' AND d.due_at > now()) AS claimed,
        count(*) FILTER (WHERE d.state = 'claimed' AND d.due_at <= now()) AS lapsed,
        min(d.due_at) FILTER (WHERE d.due_at <= now()) AS oldest_due_at
    FROM cx.delivery AS d
    WHERE d.state IN ('pending', 'claimed')
    GROUP BY d.channel
) AS q ON q.channel = k.channel
LEFT JOIN (
    SELECT d.channel, count(*) AS dead
    FROM cx.delivery AS d
    WHERE d.state = 'dead'
    GROUP BY d.channel
) AS x ON x.channel = k.channel
ORDER BY k.channel;

COMMENT ON VIEW cx.delivery_queue IS 'The outbound queue, one row a channel. It reads what is in the queue and the dead letters, not what was sent.';
COMMENT ON COLUMN cx.delivery_queue.channel IS 'Channel (cx.delivery_channel).';
COMMENT ON COLUMN cx.delivery_queue.waiting IS 'Deliveries that a sender could claim now.';
COMMENT ON COLUMN cx.delivery_queue.scheduled IS 'Deliveries that are not to be sent yet.';
COMMENT ON COLUMN cx.delivery_queue.retrying IS 'Deliveries that failed and wait to be tried again.';
COMMENT ON COLUMN cx.delivery_queue.claimed IS 'Deliveries that a sender is at.';
COMMENT ON COLUMN cx.delivery_queue.lapsed IS 'Deliveries whose sender has not answered within its lease; others can claim them now.';
COMMENT ON COLUMN cx.delivery_queue.dead IS 'Dead letters: see reason in cx.delivery, and cxm.redrive_deliveries().';
COMMENT ON COLUMN cx.delivery_queue.oldest_due_at IS 'Since when the longest waiting of what could be claimed now has been waiting; NULL = nothing waits.';
COMMENT ON COLUMN cx.delivery_queue.delay_seconds IS 'How long that is, in seconds, to a tenth.';

CREATE OR REPLACE VIEW cx.delivery_outcome AS
SELECT
    d.kind,
    d.channel,
    count(*) AS deliveries,
    count(*) FILTER (WHERE d.sent_at IS NOT NULL) AS sent,
    count(*) FILTER (WHERE d.status IN ('delivered', 'opened', 'clicked', 'complained')) AS delivered,
    count(*) FILTER (WHERE d.status IN ('opened', 'clicked')) AS opened,
    count(*) FILTER (WHERE d.status = 'clicked') AS clicked,
    count(*) FILTER (WHERE d.status = 'bounced_soft') AS bounced_soft,
    count(*) FILTER (WHERE d.status = 'bounced_hard') AS bounced_hard,
    count(*) FILTER (WHERE d.status = 'complained') AS complained,
    count(*) FILTER (WHERE d.state = 'dead') AS dead,
    count(*) FILTER (WHERE d.state = 'cancelled') AS cancelled
FROM cx.delivery AS d
GROUP BY d.kind, d.channel
ORDER BY d.kind, d.channel;

COMMENT ON VIEW cx.delivery_outcome IS 'What became of the deliveries that the store still has, one row a kind and channel. Opened and clicked are what providers report: mail programs hide some openings and make up others.';
COMMENT ON COLUMN cx.delivery_outcome.kind IS 'What was delivered, such as message or invitation.';
COMMENT ON COLUMN cx.delivery_outcome.channel IS 'Channel (cx.delivery_channel).';
COMMENT ON COLUMN cx.delivery_outcome.deliveries IS 'Number of deliveries, finished or not.';
COMMENT ON COLUMN cx.delivery_outcome.sent IS 'How many a provider took.';
COMMENT ON COLUMN cx.delivery_outcome.delivered IS 'How many are known to have arrived: delivered, opened, clicked or complained about.';
COMMENT ON COLUMN cx.delivery_outcome.opened IS 'How many were opened, those clicked included.';
COMMENT ON COLUMN cx.delivery_outcome.clicked IS 'How many were clicked.';
COMMENT ON COLUMN cx.delivery_outcome.bounced_soft IS 'How many were put off by the receiving side, and nothing better was heard since.';
COMMENT ON COLUMN cx.delivery_outcome.bounced_hard IS 'How many came back for good.';
COMMENT ON COLUMN cx.delivery_outcome.complained IS 'How many the customer reported as unwanted.';
COMMENT ON COLUMN cx.delivery_outcome.dead IS 'Dead letters, those that bounced for good included.';
COMMENT ON COLUMN cx.delivery_outcome.cancelled IS 'How many were withdrawn.';
