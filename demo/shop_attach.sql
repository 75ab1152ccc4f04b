-- Each table says once which of its columns mean what. From then on the store follows it.
\set ECHO queries

\echo '-- what is known of a customer, under every name that the customer has'
CALL cxm.attach('customers', 'traits', '{
    "at": "created_at",
    "identifiers": {"customer_id": "customer_id", "email": "email", "phone": "phone", "loyalty_id": "loyaltyCard"},
    "traits": ["name", "city"]}');
\echo

\echo '-- what was answered; answers know the e-mail address'
CALL cxm.attach('survey_answers', 'feedback', '{
    "at": "answered_at", "metric": "metric", "score": "score", "comment": "comment",
    "touchpoint": "touchpoint", "product": "sku",
    "identifiers": {"email": "customer_email"}}');
\echo

\echo '-- what was bought; the key has two columns'
CALL cxm.attach('order_lines', 'purchase', '{
    "at": "ordered_at", "order_id": "order_id", "product": "sku", "quantity": "quantity",
    "amount": "amount", "currency": "currency",
    "identifiers": {"customer_id": "customer_id"}}');
\echo

\echo '-- what happened'
CALL cxm.attach('orders', 'event', '{
    "at": "ordered_at", "event": {"constant": "Order Completed"},
    "touchpoint": "channel", "location": "store",
    "identifiers": {"customer_id": "customer_id"}}');
\echo

\echo '-- a visitor is a cookie, until one visit says whose it is'
CALL cxm.attach('web_visits', 'event', '{
    "at": "visited_at", "event": {"constant": "Page Viewed"},
    "touchpoint": {"constant": "website"}, "properties": ["page"],
    "identifiers": {"anonymous_id": "cookie", "customer_id": "customer_id"}}');
\echo
