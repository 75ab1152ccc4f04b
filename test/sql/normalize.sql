-- One form for what people type: what each function makes of values, and what holds for all of them
\set VERBOSITY terse
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';

-- texts
SELECT v AS value, cxm.normalize_text(v) AS text
FROM unnest(ARRAY['A1', E' \t a  b\n', '', E' \r\n\f\x0B', U&'\00A0A1\3000', U&'\FEFFA1\200B', U&'\200B', U&'\0301', 'é ', NULL]) AS v;

-- e-mail: lower case, and nothing that is no address
SELECT v AS value, cxm.normalize_email(v) AS email
FROM unnest(ARRAY['Ann@Example.COM', E'\tann@example.com\r\n', 'a@x', 'Ann.Lee+shop@GoogleMail.com', '_-!#$%&''*/=?^`{|}~@x.org', 'ann@münchen.example', 'ann@ex-am_ple.org',
                  '', '@', 'ann', 'ann@', '@x.org', 'a@b@c', 'a b@x.org', E'a\tb@x.org', E'a\x7f@x.org', 'a@x org', 'a@x.org.', 'a@.x.org', 'a@x..org', 'a@x,org', 'a@x;b@y',
                  '"a"@x.org', 'Ann <ann@x.org>', '<ann@x.org>', 'a(b)@x.org', 'mailto:ann@x.org', 'a\b@x.org', 'a@[1.2.3.4]', NULL]) AS v;
-- neither what cannot be seen: addresses that look the same are the same
SELECT cxm.normalize_email(U&'\FEFF' || 'a@x.org' || U&'\200B') AS around, string_agg(to_hex(c), ' ') AS taken
FROM unnest('{160,133,173,1564,5760,8194,8203,8205,8206,8232,8238,8239,8288,12288,65279,233,954,8217}'::integer[]) AS c WHERE cxm.normalize_email('a' || chr(c) || 'b@x.org') IS NOT NULL OR cxm.normalize_email('a@x' || chr(c) || '.org') IS NOT NULL;
SELECT cxm.normalize_email(repeat('a', 64) || '@' || repeat('b', 251) || '.org') AS longest, cxm.normalize_email(repeat('a', 65) || '@' || repeat('b', 251) || '.org') AS longer,
       cxm.normalize_email(repeat('@', 1000000)) AS much_longer;

-- what providers make of addresses, each only when asked for
SELECT v AS value, cxm.normalize_email(v, '{"dots": true}') AS dots, cxm.normalize_email(v, '{"plus": true}') AS plus, cxm.normalize_email(v, '{"aliases": true}') AS aliases,
       cxm.normalize_email(v, '{"dots": true, "plus": true, "aliases": true}') AS "all"
FROM unnest(ARRAY['Ann.Lee+shop@Googlemail.com', 'ann.lee+a+b@gmail.com', 'ann.lee+x@outlook.com', 'a.b@me.com', 'a.b+c@pm.me', 'ann.lee+shop@firm.example',
                  '+tag@gmail.com', '...@gmail.com', '.+a@gmail.com', '+.a@gmail.com', '.a+.@gmail.com']) AS v;
-- and rules of one's own
\set own '{"plus": true, "providers": {"firm.example": {"dots": true, "alias": "corp.example"}, "corp.example": {"plus": true, "dots": true}, "gmail.com": {}, "*": {"plus": true}}}'
SELECT v AS value, cxm.normalize_email(v, :'own') AS email
FROM unnest(ARRAY['a.b+c@firm.example', 'a.b+c@corp.example', 'a.b+c@gmail.com', 'a.b+c@other.example', 'a.b+c@outlook.com']) AS v;
-- options that are none
SELECT cxm.normalize_email('a@x', '{"dot": true}');
SELECT cxm.normalize_email('a@x', '{"dots": "yes"}');
SELECT cxm.normalize_email('a@x', '[]');
SELECT cxm.normalize_email('a@x', '1');
SELECT cxm.normalize_email('a@x', '{"providers": true}');
SELECT cxm.normalize_email('a@x', '{"providers": {"x": 1}}');
SELECT cxm.normalize_email('a@x', '{"providers": {"x": {"dash": true}}}');
SELECT cxm.normalize_email('a@x', '{"providers": {"x": {"alias": true}}}');
SELECT cxm.normalize_email('a@x', '{"providers": {"x": {"alias": "y z"}}}');
SELECT cxm.normalize_email('a@x', '{"providers": {"x": {"alias": "Y"}}}');
SELECT cxm.normalize_email('a@x', '{"providers": {"x": {"alias": "y"}, "y": {"alias": "z"}}}');
SELECT cxm.normalize_email('a@x', '{"providers": {"*": {"alias": "y"}}}');

-- telephone numbers; those of countries are the examples of their numbering plans
SELECT v AS value, r AS region, cxm.normalize_phone(v, r) AS phone, cxm.normalize_phone(v, r, 'possible') AS possible
FROM (VALUES ('+49 30 123456', NULL), ('0049 (30) 12-34.56', NULL), ('030/123456', 'DE'), ('030 123456', 'de'), ('0170 1234567', 'DE'), ('+1 650-253-0000', 'DE'),
             ('(650) 253-0000', 'US'), ('1-800-FLOWERS', 'US'), ('011 49 30 123456', 'US'), ('0049 30 123456', 'US'), ('020 7031 3000', 'GB'), ('02 9374 4000', 'AU'),
             ('06 12 34 56 78', 'FR'), ('02 1234 5678', 'IT'), ('8 (912) 345-67-89', 'RU'), ('090-1234-5678', 'JP'), (U&'\FF0B\FF14\FF1930123456', NULL),
             ('tel:+49-30-123456', NULL), ('+1 650 253 0000 ext. 12', NULL), ('+16502530000;ext=12', NULL), ('650 253 0000 x12', 'US'),
             ('030 123456', NULL), ('+49170', NULL), ('+4912345', NULL), ('000-0000', 'US'), ('253-0000', 'US'), ('1234567890', 'US'), ('+999 123456', NULL), ('12', 'DE'), ('', NULL), ('none', 'DE'),
             ('+', NULL), ('00', NULL), ('000000000', 'DE'), ('+49 30 123456 oder 7', NULL), (NULL, 'DE')) AS n(v, r);
SELECT cxm.normalize_phone('+49 30 123456', level => NULL) IS NULL AS no_level, cxm.normalize_phone('+4930' || repeat(' ', 250) || '123456') IS NULL AS too_long, cxm.normalize_phone(repeat('0', 1000000), 'DE') IS NULL AS far_too_long;
SELECT cxm.normalize_phone('030 123456', 'Germany');
SELECT cxm.normalize_phone('', 'QQ');
SELECT cxm.normalize_phone('', 'ZZ');
SELECT cxm.normalize_phone('', '');
SELECT cxm.normalize_phone('', U&'\00FC');
SELECT cxm.normalize_phone('1', 'DE', 'strict');

SELECT v AS value, cxm.phone_digits(v) AS digits
FROM unnest(ARRAY['030 12-34.56', '(650) 253/0000', ' 12345 ', '1234', '12345678901234567890', '123456789012345678901', '12345x', '+4930123456', '0049 30 123456', '(00) 12345', '000-0000', '', NULL]) AS v;

-- names
SELECT v AS value, cxm.normalize_name(v) AS name
FROM unnest(ARRAY['  Élodie   DUPONT ', 'O''Brien', U&'O\2019Brien', U&'O\00B4Brien', 'Anne-Marie', 'J.R. Smith', 'Smith, John', 'Müller', U&'Mu\0308ller', 'Straße', 'Łukasz Żółć', 'Ørsted Æther Þór', 'Đorđe',
                  'İbrahim Ilgın ışık', 'Dvořák', 'Nguyễn Thị', 'ΑΛΈΞΑΝΔΡΟΣ', 'Йожеф ИВАНОВ Ёлкин', 'Ўзбек', 'محمَّد', 'שָׁלוֹם', 'हिन्दी', '김민준', 'ガブリエル', 'ｊｏｈｎ', U&'\FB01nn', '李小龍', 'Ann 🎉 Lee', 'Nº 5',
                  'Dr. Ann Lee', 'Herr Prof. Dr. Otto Maier', 'Mr', 'Mr Mrs', 'Miss Dr', 'Drew Dr', '...', '', U&'\0301', NULL]) AS v;
SELECT cxm.normalize_name(repeat('a', 1000001));
SELECT length(cxm.normalize_name(repeat(U&'\FDFA', 300000))) AS length;

-- nicknames
SELECT v AS value, cxm.formal_names(v) AS names
FROM unnest(ARRAY['Bill', 'WILL', 'William', 'Liz', 'Chris', 'Zaphod', 'Dr. Bob', '', '?', NULL]) AS v;
SELECT cxm.formal_names('Bob') && cxm.formal_names('Robert') AS may_be_one, cxm.formal_names('Chris') && cxm.formal_names('Kate') AS cannot;
SELECT cxm.formal_names('Zaph', '{"zaph": "Zaphod"}') AS one, cxm.formal_names('Bill', '{"bill": ["Wilhelm", "WILHELM", "Billiam"]}') AS more;
SELECT cxm.formal_names('Bill', '{"bill": 1}');
SELECT cxm.formal_names('Bill', '{"bill": ["a", {}]}');
SELECT cxm.formal_names('Bill', '{"bill": {"a": "b"}}');
SELECT cxm.formal_names('Bill', '[]');

-- addresses
SELECT v AS value, cxm.address_tokens(v) AS tokens
FROM unnest(ARRAY['12b N. Main St., Apt #5', '12B North Main Street Apartment 5', 'Hauptstr. 7', 'Hauptstraße 7', 'Königs Str. 1', '5 Bd. de la Liberté', '5 boulevard de la liberte', 'Fifth Ave', '5th Avenue', '', '--', NULL]) AS v;
SELECT round(cxm.jaccard(cxm.address_tokens('12 N. Main St, Apt 5'), cxm.address_tokens('12 Main Street, Apartment 5'))::numeric, 4) AS alike;

-- dates: the answers of the three orders, without and with a century
SELECT v AS value, cxm.normalize_date(v) AS ymd, cxm.normalize_date(v, 'DMY') AS dmy, cxm.normalize_date(v, 'mdy') AS mdy, cxm.normalize_date(v, 'DMY', 1926) AS dmy_1926
FROM unnest(ARRAY['2026-04-03', ' 2026/4/3 ', '2026.04.03', '20260403', '03042026', '3.4.2026', '3/4/2026', '25/12/2026', '12/25/2026', '4/4/2026', '03-04-26', '25.12.25', '010270', '3 April 2026', 'April 3, 2026', 'Apr 3rd, 2026',
                  '3-Apr-2026', '3. sept. 2026', '3 Apr 26', '2026 April 3', 'Fri, 3 Apr 2026 10:00:00 +0200', '2026-04-03T23:30:00.5-05:00', '2026-04-03 9:05 PM', '20260403 10:00',
                  '2024-02-29', '2023-02-29', '1900-02-29', '2000-02-29', '0001-01-01', '9999-12-31', '0000-00-00', '0000-01-01', '2026-13-01', '2026-00-10', '2026-04-31', '10000-01-01', '12026-01-01', '-2026-04-03',
                  '2026-4/3', '2026,4,3', '2026-04', '2026', '2026-04-03-01', '2026-04-03x', '3 Foo 2026', 'April April 2026', '3 4 5 6', 'March', 'Friday', '3.4.026', '3.4.6', '1 2 2026', '99999999999999999999', '', NULL]) AS v;
SELECT cxm.normalize_date('1/1/' || lpad(y::text, 2, '0'), 'DMY', 1950) AS "from 1950" FROM unnest(ARRAY[0, 49, 50, 99]) AS y;
SELECT cxm.normalize_date('2026-04-03', NULL) IS NULL AS no_order;
SELECT cxm.normalize_date('2026-04-03', 'YDM');
SELECT cxm.normalize_date('2026-04-03', 'DMY', 0);
SELECT cxm.normalize_date('2026-04-03', 'DMY', 9901);
-- every date, written in every way, is read as itself
SELECT count(*) AS wrong
FROM generate_series(timestamp '1899-12-25', timestamp '2101-01-05', interval '1 day') AS g(at), LATERAL (SELECT g.at::date AS d) AS o
WHERE cxm.normalize_date(to_char(d, 'YYYY-MM-DD')) IS DISTINCT FROM d OR cxm.normalize_date(to_char(d, 'YYYYMMDD')) IS DISTINCT FROM d
   OR cxm.normalize_date(to_char(d, 'DD.MM.YYYY'), 'DMY') IS DISTINCT FROM d OR cxm.normalize_date(to_char(d, 'FMMM/FMDD/YYYY'), 'MDY') IS DISTINCT FROM d
   OR cxm.normalize_date(to_char(d, 'FMDDth FMMonth YYYY')) IS DISTINCT FROM d OR cxm.normalize_date(to_char(d, 'Dy, DD Mon YYYY')) IS DISTINCT FROM d
   OR cxm.normalize_date(to_char(d, 'DDMMYY'), 'DMY', extract(year FROM d)::integer - 37) IS DISTINCT FROM d
   OR cxm.normalize_date(to_char(d, 'DD/MM/YYYY')) IS DISTINCT FROM CASE WHEN extract(day FROM d) > 12 OR extract(day FROM d) = extract(month FROM d) THEN d END;

-- forms
SELECT f AS form, cxm.normalize_form(' 030 / Ab@X ', f, '{}') AS value FROM unnest(ARRAY['text', 'email', 'phone', 'name', 'number', NULL]) AS f;
SELECT v AS value, cxm.normalize_form(v, 'phone', '{}') AS nowhere, cxm.normalize_form(v, 'phone', '{"region": "DE"}') AS in_germany, cxm.normalize_form(v, 'phone', '{"region": "DE", "level": "possible"}') AS possible
FROM unnest(ARRAY['030 123456', '+49 30 123456', '0049 30 123456', '12345', '1234', '12345x', '+4912345', '']) AS v;
SELECT octet_length(cxm.normalize_form(repeat('a', 512), 'name', '{}')) AS fits, cxm.normalize_form(repeat('a', 513), 'name', '{}') IS NULL AS too_long;
SELECT cxm.check_form('email', '{"dots": true, "providers": {"*": {"plus": true}, "firm.example": {"alias": "corp.example"}}}'), cxm.check_form('phone', '{"region": "DE", "level": "possible"}'), cxm.check_form('name', '{}');
SELECT cxm.check_form('number', '{}');
SELECT cxm.check_form(NULL, '{}');
SELECT cxm.check_form('text', NULL);
SELECT cxm.check_form('text', '{"lower": true}');
SELECT cxm.check_form('phone', '{"country": "DE"}');
SELECT cxm.check_form('phone', '{"region": 49}');
SELECT cxm.check_form('phone', '{"region": "D"}');
SELECT cxm.check_form('phone', '{"level": "any"}');
SELECT cxm.check_form('email', '{"dots": 1}');
SELECT cxm.check_form('email', '{"providers": {"Firm.example": {}}}');
SELECT cxm.check_form('email', '{"providers": {"firm.example": {"alias": "a b"}}}');

-- What holds for every value: normalising again changes nothing, accents and case make no difference to a name, and
-- nothing fails. The values are made of pieces that mean something, and of characters from everywhere.
CREATE TEMPORARY TABLE sample AS
SELECT n, CASE n % 4 WHEN 2 THEN '030 ' || 100000 + n WHEN 3 THEN '3 Apr 26' ELSE '' END
          || (SELECT string_agg(CASE WHEN k % 3 < 2 THEN (ARRAY['+', '.', '@', ' ', '-', '00', '49', '030', '(', ')', 'gmail.com', 'googlemail.com', 'pm.me', 'x', 'Ann', 'Dr. ', 'ß', 'É', ';ext=', ',', '/', '20', '2026', 'Apr', 'st', 'T10:00', '''', 'Й', 'İ', U&'\0301', U&'\3099', U&'\00B4'])[1 + h % 32]
                                  -- neither a zero nor half a surrogate pair
                                  ELSE chr((1 + CASE WHEN h % 4 = 0 THEN h % 127 WHEN h % 4 = 1 THEN h % 1500 WHEN h % 4 = 2 THEN h % 55000 ELSE 57344 + h % 1050000 END)::integer) END, '' ORDER BY k)
           FROM generate_series(1, 1 + n % 9) AS k, LATERAL (SELECT ('x' || substr(md5(n || '/' || k), 1, 7))::bit(28)::integer AS h) AS r)
          || CASE n % 4 WHEN 0 THEN '@gmail.com' WHEN 1 THEN '@x' ELSE '' END AS value
FROM generate_series(1, 30000) AS n;
SELECT count(*) FILTER (WHERE cxm.normalize_text(value) IS NOT NULL) > 25000 AS texts, count(*) FILTER (WHERE cxm.normalize_email(value) IS NOT NULL) > 500 AS emails,
       count(*) FILTER (WHERE cxm.normalize_phone(value, 'DE') IS NOT NULL) > 100 AS phones, count(*) FILTER (WHERE cxm.normalize_name(value) IS NOT NULL) > 20000 AS names,
       count(cxm.normalize_date(value, 'DMY', 1950)) > 10 AS dates
FROM sample;
SELECT f.form, f.options, count(*) AS changed
FROM sample AS s,
     (VALUES ('text', '{}'::jsonb), ('email', '{}'), ('email', '{"dots": true, "plus": true, "aliases": true}'), ('email', '{"plus": true, "providers": {"x": {"alias": "gmail.com"}, "gmail.com": {"dots": true}, "*": {"dots": true}}}'),
             ('phone', '{}'), ('phone', '{"region": "DE"}'), ('phone', '{"region": "US", "level": "possible"}'), ('name', '{}')) AS f(form, options),
     LATERAL (SELECT cxm.normalize_form(s.value, f.form, f.options) AS once OFFSET 0) AS o
WHERE once IS NOT NULL AND cxm.normalize_form(once, f.form, f.options) IS DISTINCT FROM once
GROUP BY 1, 2;
SELECT count(*) AS changed FROM sample, LATERAL (SELECT cxm.address_tokens(value) AS once OFFSET 0) AS o WHERE cxm.address_tokens(array_to_string(once, ' ')) <> once;
SELECT count(*) AS differ FROM sample WHERE cxm.normalize_name(value) IS DISTINCT FROM cxm.normalize_name(normalize(value, NFD)) OR cxm.normalize_name(value) IS DISTINCT FROM cxm.normalize_name(normalize(value, NFC));
SELECT count(*) AS without_itself FROM sample WHERE cxm.normalize_name(value) IS NOT NULL AND cxm.normalize_name(value) <> ALL (cxm.formal_names(value));
SELECT count(*) AS not_e164 FROM sample, LATERAL (SELECT cxm.normalize_phone(value, 'DE', 'possible') AS p OFFSET 0) AS o WHERE p !~ '^\+[1-9][0-9]{1,16}(;ext=[0-9]{1,20})?$';
