-- What is posted, how it is sent where the server has not preloaded cxm, and what was missed.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT cxm.create_store('UTC') IS NOT NULL AS made;

SELECT cxm.notify_mode();
SHOW cxm.notify_mode;
SELECT preloaded, state, worker_pid, batches, sent, last_error FROM cxm.notifier_status();
SELECT cxm.wake_notifier();

-- the writer sends, with the id in front; what is equal stays apart
SELECT cxm.post_notifications('cxm_test', ARRAY['{"a": 1}', '{"a": 1}', '{}']::jsonb[]);
SELECT cxm.post_notifications('cxm_test', NULL), cxm.post_notifications('cxm_test', '{}');
SELECT outbox_id, channel, payload, held, sent_at IS NOT NULL AS sent FROM cx.outbox ORDER BY 1;

-- refused
SELECT cxm.post_notifications(NULL, ARRAY['{}']::jsonb[]);
SELECT cxm.post_notifications('', ARRAY['{}']::jsonb[]);
SELECT cxm.post_notifications(repeat('x', 64), ARRAY['{}']::jsonb[]);
SELECT cxm.post_notifications('cxm_test', ARRAY['{}', NULL]::jsonb[]);
SELECT cxm.post_notifications('cxm_test', ARRAY['[1]']::jsonb[]);
SELECT cxm.post_notifications('cxm_test', ARRAY['null']::jsonb[]);
SELECT cxm.post_notifications('cxm_test', ARRAY['{"outbox_id": 1}']::jsonb[]);
SELECT cxm.post_notifications('cxm_test', ARRAY[jsonb_build_object('x', repeat('x', 7942))]);
SELECT cxm.post_notifications('cxm_test', ARRAY[jsonb_build_object('x', repeat('x', 7941))]);
SELECT cxm.send_notification('cxm_test', 1, '[]');
SELECT cxm.send_notification(repeat('x', 64), 1, '{}');

-- also with the longest id it is what NOTIFY takes
SELECT cxm.send_notification('cxm_test', -9223372036854775808, jsonb_build_object('x', repeat('x', 7941))) IS NOT NULL AS fits;

-- two dimensions are an array like any other
SELECT cxm.post_notifications('cxm_test', ARRAY[['{"b": 1}', '{"b": 2}'], ['{"b": 3}', '{"b": 4}']]::jsonb[]);
SELECT string_agg(payload->>'b', ' ' ORDER BY outbox_id) AS order FROM cx.outbox WHERE payload ? 'b';

-- held under off: nobody but send_outbox() sends it, the oldest first whoever posted it
TRUNCATE cx.outbox RESTART IDENTITY;
SET cxm.notify_mode = off;
SELECT cxm.notify_mode();
SELECT cxm.post_notifications('cxm_test', ARRAY['{"c": 1}', '{"c": 2}']::jsonb[]);
INSERT INTO cx.outbox (channel, payload) VALUES ('cxm_test', '{"c": 3}');
SELECT cxm.post_notifications('cxm_test', ARRAY['{"c": 4}']::jsonb[]);
INSERT INTO cx.outbox (channel, payload) VALUES ('cxm_test', '{"c": 5}');
SELECT notify_mode, preloaded, state, worker_pid, unsent, held, oldest_unsent_at = (SELECT min(created_at) FROM cx.outbox) AS oldest FROM cx.notifier_status;
SELECT cxm.send_outbox(3);
SELECT outbox_id, held, sent_at IS NOT NULL AS sent FROM cx.outbox ORDER BY 1;
SELECT cxm.send_outbox(), cxm.send_outbox();
SELECT unsent, held, oldest_unsent_at FROM cx.notifier_status;
SELECT cxm.send_outbox(0);
SELECT cxm.send_outbox(NULL);
RESET cxm.notify_mode;

-- rolled back, it was never there
BEGIN;
SELECT cxm.post_notifications('cxm_test', ARRAY['{"d": 1}']::jsonb[]);
SAVEPOINT s;
SELECT cxm.post_notifications('cxm_test', ARRAY['{"d": 2}']::jsonb[]);
ROLLBACK TO s;
SELECT cxm.post_notifications('cxm_test', ARRAY['{"d": 3}']::jsonb[]);
COMMIT;
SELECT string_agg(payload->>'d', ' ' ORDER BY outbox_id) AS posted FROM cx.outbox WHERE payload ? 'd';

-- replay: by id, by snapshot, by both, of one channel
TRUNCATE cx.outbox RESTART IDENTITY;
SELECT cxm.post_notifications('cxm_test', ARRAY['{"e": 1}', '{"e": 2}']::jsonb[]);
SELECT pg_current_snapshot() AS seen \gset
SELECT cxm.post_notifications('cxm_other', ARRAY['{"e": 3}']::jsonb[]);
BEGIN;
SET LOCAL cxm.notify_mode = off;
SELECT cxm.post_notifications('cxm_test', ARRAY['{"e": 4}']::jsonb[]);
SELECT outbox_id FROM cxm.replay_outbox(seen => :'seen');
COMMIT;
SELECT outbox_id, channel, payload, created_at IS NOT NULL AS created, sent_at IS NOT NULL AS sent FROM cxm.replay_outbox(0);
SELECT outbox_id FROM cxm.replay_outbox(2);
SELECT outbox_id FROM cxm.replay_outbox(after => 4);
SELECT outbox_id FROM cxm.replay_outbox(seen => :'seen');
SELECT outbox_id FROM cxm.replay_outbox(3, :'seen');
SELECT outbox_id FROM cxm.replay_outbox(0, only_channel => 'cxm_other');
SELECT outbox_id FROM cxm.replay_outbox(seen => pg_current_snapshot());
SELECT outbox_id FROM cxm.replay_outbox();
-- of another cluster, whose transactions are numbered otherwise
UPDATE cx.outbox SET posted_xid = '9000000000000000000' WHERE outbox_id = 3;
SELECT outbox_id FROM cxm.replay_outbox(seen => :'seen');
SELECT outbox_id FROM cxm.replay_outbox(2);

-- what was sent long ago is forgotten, what waits is not
UPDATE cx.outbox SET sent_at = sent_at - interval '40 days', created_at = created_at - interval '40 days';
SELECT cxm.forget_notifications();
SELECT outbox_id FROM cx.outbox;

DROP SCHEMA cx CASCADE;
