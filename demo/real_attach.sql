-- Each table says once which of its columns mean what. From then on the store follows it.
\set ECHO queries

CALL cxm.attach('order_lines', 'purchase', '{
    "at": "invoice_date", "order_id": "invoice_no", "product": "stock_code", "quantity": "quantity",
    "amount": {"multiply": ["quantity", "unit_price"]}, "currency": {"constant": "GBP"},
    "identifiers": {"customer_id": "customer_id"}, "properties": ["country"]}');
\echo

\echo '-- A form has many answers: the table is attached once for each question that counts.'
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "nps"}, "score": "NETPRO",
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "NETPRO"}}',
    source => 'survey NETPRO');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7ART", "product": {"constant": "art"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7ART"}}',
    source => 'survey Q7ART');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7FOOD", "product": {"constant": "restaurants"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7FOOD"}}',
    source => 'survey Q7FOOD');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7STORE", "product": {"constant": "shops"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7STORE"}}',
    source => 'survey Q7STORE');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7SIGN", "product": {"constant": "signs"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7SIGN"}}',
    source => 'survey Q7SIGN');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7WALKWAYS", "product": {"constant": "walkways"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7WALKWAYS"}}',
    source => 'survey Q7WALKWAYS');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7SCREENS", "product": {"constant": "screens"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7SCREENS"}}',
    source => 'survey Q7SCREENS');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7WIFI", "product": {"constant": "wifi"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7WIFI"}}',
    source => 'survey Q7WIFI');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7ROADS", "product": {"constant": "roads"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7ROADS"}}',
    source => 'survey Q7ROADS');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7PARK", "product": {"constant": "parking"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7PARK"}}',
    source => 'survey Q7PARK');
\echo
CALL cxm.attach('survey', 'feedback', '{
    "at": "interviewed_at", "metric": {"constant": "csat"}, "score": "Q7AIRTRAIN", "product": {"constant": "airtrain"},
    "location": "boarding_area", "submission_id": "RESPNUM", "question": {"constant": "Q7AIRTRAIN"}}',
    source => 'survey Q7AIRTRAIN');
\echo
