-- All that is known of a customer, in one row.
--
-- Everything is reached from the profile through index look-ups: the row of one customer never reads the others'.
-- The parts are LEFT JOIN LATERAL aggregates and scalar subqueries, so that the planner leaves out
-- those whose columns are not asked for.

CREATE OR REPLACE VIEW cx.customer_360 AS
SELECT
    p.profile_id,
    (
        SELECT jsonb_object_agg(n.namespace, n.identifier_values)
        FROM (
            SELECT i.namespace, jsonb_agg(i.value ORDER BY i.value) AS identifier_values
            FROM cx.identifier AS i
            WHERE i.identifier_id = ANY (who.identifier_ids)
            GROUP BY i.namespace
        ) AS n
    ) AS identifiers,
    (
        SELECT coalesce(cxm.profile_merge(t.traits, t.observed_at, s.source, (SELECT cxm.trait_policies())), '{}')
        FROM cx.trait AS t
        LEFT JOIN cx.source AS s ON s.source_id = t.source_id
        WHERE t.identifier_id = ANY (who.identifier_ids)
    ) AS traits,
    least(did.first_at, bought.first_at, said.first_at) AS first_seen,
    greatest(did.last_at, bought.last_at, said.last_at) AS last_seen,
    coalesce(did.events, 0) AS events,
    coalesce(bought.orders, 0) AS orders,
    bought.spend,
    bought.currency,
    (
        SELECT jsonb_object_agg(coalesce(c.currency, ''), c.amount)
        FROM (
            SELECT b.currency, sum(b.amount) AS amount
            FROM cx.purchase AS b
            WHERE b.identifier_id = ANY (who.identifier_ids)
            GROUP BY b.currency
        ) AS c
    ) AS spend_by_currency,
    bought.last_purchase_at,
    coalesce(said.answers, 0) AS feedback,
    (said.nps_scores)[1] AS last_nps,
    said.last_nps_at,
    (
        SELECT count(*)
        FROM cx.feedback AS f
        JOIN cx.alert AS a ON a.feedback_id = f.feedback_id
        WHERE f.identifier_id = ANY (who.identifier_ids)
          AND a.state IN ('open', 'claimed', 'held')
    ) AS open_alerts,
    (
        SELECT t.key
        FROM (
            SELECT v.touchpoint_id, v.occurred_at
            FROM cx.event AS v
            WHERE v.identifier_id = ANY (who.identifier_ids) AND v.touchpoint_id IS NOT NULL
            UNION ALL
            SELECT b.touchpoint_id, b.occurred_at
            FROM cx.purchase AS b
            WHERE b.identifier_id = ANY (who.identifier_ids) AND b.touchpoint_id IS NOT NULL
            UNION ALL
            SELECT f.touchpoint_id, f.occurred_at
            FROM cx.feedback AS f
            WHERE f.identifier_id = ANY (who.identifier_ids) AND f.touchpoint_id IS NOT NULL
        ) AS visit
        JOIN cx.touchpoint AS t ON t.touchpoint_id = visit.touchpoint_id
        GROUP BY t.touchpoint_id
        ORDER BY count(*) DESC, max(visit.occurred_at) DESC, t.touchpoint_id
        LIMIT 1
    ) AS favourite_touchpoint
FROM cx.profile AS p
LEFT JOIN LATERAL (
    SELECT array_agg(i.identifier_id) AS identifier_ids
    FROM (
        SELECT p.profile_id
        UNION ALL
        SELECT o.profile_id
        FROM cx.profile AS o
        WHERE o.canonical_id = p.profile_id AND o.canonical_id <> o.profile_id
    ) AS member
    JOIN cx.identifier AS i ON i.profile_id = member.profile_id
) AS who ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS events,
        min(v.occurred_at) AS first_at,
        max(v.occurred_at) AS last_at
    FROM cx.event AS v
    WHERE v.identifier_id = ANY (who.identifier_ids)
) AS did ON true
LEFT JOIN LATERAL (
    SELECT
        count(DISTINCT (b.source_id, b.order_id)) FILTER (WHERE b.quantity > 0 AND b.order_id IS NOT NULL)
            + count(*) FILTER (WHERE b.quantity > 0 AND b.order_id IS NULL) AS orders,
        CASE WHEN count(DISTINCT coalesce(b.currency, '')) = 1 THEN sum(b.amount) END AS spend,
        CASE WHEN count(DISTINCT coalesce(b.currency, '')) = 1 THEN min(b.currency) END AS currency,
        min(b.occurred_at) AS first_at,
        max(b.occurred_at) AS last_at,
        max(b.occurred_at) FILTER (WHERE b.quantity > 0) AS last_purchase_at
    FROM cx.purchase AS b
    WHERE b.identifier_id = ANY (who.identifier_ids)
) AS bought ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS answers,
        min(f.occurred_at) AS first_at,
        max(f.occurred_at) AS last_at,
        array_agg(f.score ORDER BY f.occurred_at DESC, f.feedback_id DESC) FILTER (WHERE m.family = 'nps' AND f.score IS NOT NULL) AS nps_scores,
        max(f.occurred_at) FILTER (WHERE m.family = 'nps' AND f.score IS NOT NULL) AS last_nps_at
    FROM cx.feedback AS f
    LEFT JOIN cx.metric AS m ON m.metric = f.metric
    WHERE f.identifier_id = ANY (who.identifier_ids)
) AS said ON true
WHERE p.canonical_id = p.profile_id;

COMMENT ON VIEW cx.customer_360 IS 'All that is known of a customer, one row a person (a profile that stands today). Fast for one customer (WHERE profile_id = ...); cxm.customer(namespace, value) finds the profile_id. Columns that are not selected cost nothing.';
COMMENT ON COLUMN cx.customer_360.profile_id IS 'The customer: a profile that stands today (cx.profile with profile_id = canonical_id).';
COMMENT ON COLUMN cx.customer_360.identifiers IS 'What the customer is called by, as {"namespace": ["value", ...]}.';
COMMENT ON COLUMN cx.customer_360.traits IS 'The golden record: of each trait the value that holds by its policy (cx.trait_policy; most recent unless set otherwise). Traits without a value are left out; {} when nothing is known. cx.profile_trait says where each value comes from.';
COMMENT ON COLUMN cx.customer_360.first_seen IS 'Time of the first event, purchase or answer; NULL when there is none.';
COMMENT ON COLUMN cx.customer_360.last_seen IS 'Time of the last event, purchase or answer; NULL when there is none.';
COMMENT ON COLUMN cx.customer_360.events IS 'Number of events.';
COMMENT ON COLUMN cx.customer_360.orders IS 'Number of orders: distinct (source, order_id) with something bought; a purchase without order_id is an order of its own. Returns are not orders.';
COMMENT ON COLUMN cx.customer_360.spend IS 'Money spent, returns taken off; NULL when there are no purchases or they are in several currencies.';
COMMENT ON COLUMN cx.customer_360.currency IS 'Currency of spend; NULL when the purchases name none.';
COMMENT ON COLUMN cx.customer_360.spend_by_currency IS 'Money spent in each currency, returns taken off, as {"EUR": 12.50}; "" stands for purchases that name no currency. NULL when there are no purchases.';
COMMENT ON COLUMN cx.customer_360.last_purchase_at IS 'When the customer last bought something; returns do not count.';
COMMENT ON COLUMN cx.customer_360.feedback IS 'Number of answers, those without a score included.';
COMMENT ON COLUMN cx.customer_360.last_nps IS 'Last score on a metric of family nps.';
COMMENT ON COLUMN cx.customer_360.last_nps_at IS 'When that score was given.';
COMMENT ON COLUMN cx.customer_360.open_alerts IS 'Number of alerts about the customer''s answers that nobody has acknowledged.';
COMMENT ON COLUMN cx.customer_360.favourite_touchpoint IS 'Key of the touchpoint with most of the customer''s events, purchases and answers; of equals the one visited last.';
