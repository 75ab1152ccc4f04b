#!/usr/bin/env python3
# test/bench/linkage_splink.py: cxm beside Splink on the same records.
#
#   weights    Splink's trained m, u and lambda are given to cxm, and the weight of every pair is compared: the greatest
#              difference must be below 1e-4
#   accuracy   precision, recall and F1 at p >= .95 and at the best threshold, each with its own training
#   time       wall seconds from the first record to the last scored pair
#
# Not part of "make check": it needs Splink (pip install splink, or PYTHONPATH) and a running server with cxm installed
# (PGHOST, PGPORT, PGUSER as usual). Reads the data of $CXM_DATA or ../shared/data; what is absent is left out, and said.
# Makes a database of its own and drops it.
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from splink import DuckDBAPI, Linker, SettingsCreator, block_on
import splink.comparison_library as cl

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get('CXM_DATA', os.path.join(HERE, '..', '..', '..', 'shared', 'data'))
DB = 'cxm_bench_splink_%d' % os.getpid()
WORK = tempfile.mkdtemp()


def psql(sql, database=DB):
    done = subprocess.run(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', database], input=sql, text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


def names(column):
    return cl.JaroWinklerAtThresholds(column, [0.92, 0.88, 0.7]).configure(term_frequency_adjustments=True)


def edits(column):
    return cl.DamerauLevenshteinAtThresholds(column, [1, 2])


def exact(column):
    return cl.ExactMatch(column).configure(term_frequency_adjustments=True)


def near(column, limit):
    return cl.JaroWinklerAtThresholds(column, [limit])


# each set: its table, Splink's settings as in its own demos, and where the truth is
SETS = {
    'fake_1000': {
        'files': ['splink/fake_1000.csv'],
        'select': 'SELECT *, \'\' AS source_dataset FROM read_csv(%s, all_varchar = true)',
        'id': 'unique_id', 'truth': 'cluster', 'link_type': 'dedupe_only',
        'columns': ['first_name', 'surname', 'dob', 'city', 'email'],
        'comparisons': [names('first_name'), names('surname'), edits('dob'), exact('city'), near('email', 0.88)],
        'blocking': [['surname'], ['dob'], ['email'], ['first_name', 'city']],
        'deterministic': [['first_name', 'dob'], ['first_name', 'surname'], ['email']], 'recall': 0.7,
        'training': [['dob'], ['first_name', 'surname']],
        'all_pairs': True,
    },
    'febrl4': {
        'files': ['febrl/dataset4a.csv', 'febrl/dataset4b.csv'],
        'select': "SELECT rec_id AS unique_id, regexp_extract(rec_id, 'rec-([0-9]+)-', 1) AS cluster, "
                  "CASE WHEN rec_id LIKE '%%org' THEN 'a' ELSE 'b' END AS source_dataset, "
                  "nullif(trim(given_name), '') AS given_name, nullif(trim(surname), '') AS surname, "
                  "nullif(trim(street_number), '') AS street_number, nullif(trim(address_1), '') AS address_1, "
                  "nullif(trim(suburb), '') AS suburb, nullif(trim(postcode), '') AS postcode, nullif(trim(state), '') AS state, "
                  "nullif(trim(date_of_birth), '') AS date_of_birth, nullif(trim(soc_sec_id), '') AS soc_sec_id FROM "
                  "(SELECT COLUMNS('^.*$') AS 'x' FROM (SELECT 1)) RIGHT JOIN read_csv(%s, all_varchar = true, normalize_names = true) ON true",
        'id': 'unique_id', 'truth': 'cluster', 'link_type': 'link_only',
        'columns': ['given_name', 'surname', 'street_number', 'address_1', 'suburb', 'postcode', 'state', 'date_of_birth', 'soc_sec_id'],
        'comparisons': [names('given_name'), names('surname'), edits('date_of_birth'), edits('soc_sec_id'), exact('street_number'),
                        cl.DamerauLevenshteinAtThresholds('postcode', [1, 2]).configure(term_frequency_adjustments=True),
                        near('address_1', 0.9), near('suburb', 0.9)],
        'blocking': [['given_name', 'surname'], ['date_of_birth'], ['soc_sec_id'], ['state', 'address_1'], ['street_number', 'address_1'], ['postcode']],
        'deterministic': [['soc_sec_id'], ['given_name', 'surname', 'date_of_birth']], 'recall': 0.9,
        'training': [['date_of_birth'], ['postcode']],
        'all_pairs': False,
    },
}
SETS['febrl4']['select'] = SETS['febrl4']['select'].replace("(SELECT COLUMNS('^.*$') AS 'x' FROM (SELECT 1)) RIGHT JOIN ", '').replace(' ON true', '')


def level(comparison, l):
    """A level of Splink's model as one of cxm's"""
    condition = l['sql_condition']
    out = {'m': max(l.get('m_probability') or 1e-6, 1e-12), 'u': max(l.get('u_probability') or 1e-6, 1e-12)}
    found = re.search(r'(jaro_winkler_similarity|damerau_levenshtein|levenshtein)\(.*\) *(>=|<=) *([0-9.]+)', condition)
    if condition == 'ELSE':
        out['else'] = True
    elif found:
        out[{'jaro_winkler_similarity': 'jaro_winkler', 'damerau_levenshtein': 'damerau', 'levenshtein': 'levenshtein'}[found.group(1)]] = float(found.group(3))
    elif re.fullmatch(r'"(\w+)_l" = "\1_r"', condition):
        out['exact'] = True
    else:
        raise SystemExit('no such level: ' + condition)
    return out


def translated(model, rules):
    """Splink's model as one of cxm's"""
    comparisons = []
    for c in model['comparisons']:
        levels = [l for l in c['comparison_levels'] if not l.get('is_null_level')]
        tf = max((l.get('tf_adjustment_weight', 0) for l in levels if l.get('tf_adjustment_column')), default=0)
        comparisons.append({'column': c['output_column_name'], 'levels': [level(c, l) for l in levels], 'term_frequency': tf})
    return {'id': 'unique_id', 'source': 'source_dataset', 'link_type': 'dedupe' if model['link_type'] == 'dedupe_only' else model['link_type'],
            'lambda': model['probability_two_random_records_match'], 'comparisons': comparisons, 'blocking': rules}


def measured(table, true_pairs):
    return psql("""SELECT string_agg(format('%%s P %%s R %%s F1 %%s', w, round(p, 4), round(r, 4), round(f, 4)), '   ' ORDER BY w)
FROM (SELECT 'p >= .95' AS w, avg(ok::integer)::numeric AS p, count(*) FILTER (WHERE ok) / %s::numeric AS r, 2.0 * count(*) FILTER (WHERE ok) / (count(*) + %s) AS f
      FROM %s WHERE probability >= 0.95
      UNION ALL (SELECT 'best', c / k::numeric, c / %s::numeric, 2.0 * c / (k + %s)
                 FROM (SELECT weight, count(*) FILTER (WHERE ok) OVER o AS c, count(*) OVER o AS k FROM %s WINDOW o AS (ORDER BY weight DESC)) AS x
                 ORDER BY 4 DESC LIMIT 1)) AS m""" % (true_pairs, true_pairs, table, true_pairs, true_pairs, table))


def run_splink(name, s, connection):
    settings = SettingsCreator(link_type=s['link_type'], unique_id_column_name='unique_id', comparisons=s['comparisons'],
                               blocking_rules_to_generate_predictions=[block_on(*r) for r in s['blocking']])
    api = DuckDBAPI(connection)
    tables = ['records'] if s['link_type'] == 'dedupe_only' else ['records_a', 'records_b']
    frames = [api.register(t) for t in tables] if hasattr(api, 'register') else tables
    args = [frames if len(frames) > 1 else frames[0], settings] + ([] if hasattr(api, 'register') else [api])
    started = time.time()
    linker = Linker(*args)
    linker.training.estimate_probability_two_random_records_match([block_on(*r) for r in s['deterministic']], recall=s['recall'])
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
    for rule in s['training']:
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*rule))
    pairs = linker.inference.predict(threshold_match_probability=0.01)
    seconds = time.time() - started
    return linker, pairs, seconds


def export(connection, frame, path):
    connection.execute("COPY (SELECT unique_id_l, unique_id_r, match_weight, match_probability FROM %s) TO '%s' (HEADER false)" % (frame.physical_name, path))
    return path


def load_pairs(table, path):
    psql("""CREATE TABLE %s (a text, b text, weight float8, probability float8);
\\copy %s FROM '%s' (FORMAT csv)
ALTER TABLE %s ADD ok boolean;
UPDATE %s AS p SET ok = x.cluster = y.cluster FROM records AS x, records AS y WHERE x.unique_id = p.a AND y.unique_id = p.b""" % (table, table, path, table, table))


def compare(name, s):
    import duckdb
    files = [os.path.join(DATA, f) for f in s['files']]
    if not all(os.path.exists(f) for f in files):
        print('%-10s left out: %s is not here' % (name, files[0]))
        return True
    connection = duckdb.connect()
    connection.execute('CREATE TABLE records AS ' + s['select'] % ('[' + ', '.join("'%s'" % f for f in files) + ']'))
    if s['link_type'] == 'link_only':
        connection.execute("CREATE TABLE records_a AS SELECT * FROM records WHERE source_dataset = 'a'")
        connection.execute("CREATE TABLE records_b AS SELECT * FROM records WHERE source_dataset = 'b'")
    path = os.path.join(WORK, name + '.csv')
    connection.execute("COPY (SELECT unique_id, cluster, source_dataset, %s FROM records) TO '%s' (HEADER false)" % (', '.join(s['columns']), path))
    psql('DROP TABLE IF EXISTS records, theirs, golden; CREATE TABLE records (unique_id text, cluster text, source_dataset text, %s);\n\\copy records FROM \'%s\' (FORMAT csv)'
         % (', '.join(c + ' text' for c in s['columns']), path))
    true_pairs = psql('SELECT sum(n * (n - 1) / 2) FROM (SELECT count(*) AS n FROM records GROUP BY cluster) AS c')

    linker, pairs, seconds = run_splink(name, s, connection)
    load_pairs('theirs', export(connection, pairs, os.path.join(WORK, 'theirs.csv')))
    print('%-10s Splink                 %6.1f s   %s' % (name, seconds, measured('theirs', true_pairs)))

    # weights, given the same parameters
    model_path = os.path.join(WORK, 'model.json')
    linker.misc.save_model_to_json(model_path, overwrite=True)
    with open(model_path) as f:
        model = json.load(f)
    rules = s['blocking']
    if s['all_pairs']:
        model['blocking_rules_to_generate_predictions'] = [{'blocking_rule': '1=1', 'sql_dialect': 'duckdb'}]
        rules = [[]]
    api = DuckDBAPI(connection)
    tables = ['records'] if s['link_type'] == 'dedupe_only' else ['records_a', 'records_b']
    frames = [api.register(t) for t in tables] if hasattr(api, 'register') else tables
    args = [frames if len(frames) > 1 else frames[0], model] + ([] if hasattr(api, 'register') else [api])
    again = Linker(*args)
    everything = again.inference.predict(threshold_match_probability=0)
    load_pairs('golden', export(connection, everything, os.path.join(WORK, 'golden.csv')))
    columns = ', '.join(['unique_id', 'source_dataset'] + s['columns'])
    query = 'SELECT %s FROM records' % columns
    ours = translated(model, rules)
    worst = psql("""SELECT count(*), count(*) FILTER (WHERE g.a IS NULL OR s.record_a IS NULL), max(abs(s.weight - g.weight))
FROM cxm.linkage_score($q$%s$q$, $m$%s$m$, 0) AS s
FULL JOIN golden AS g ON least(g.a, g.b) COLLATE "C" = least(s.record_a, s.record_b) COLLATE "C" AND greatest(g.a, g.b) COLLATE "C" = greatest(s.record_a, s.record_b) COLLATE "C" """
                 % (query, json.dumps(ours))).split('|')
    good = worst[1] == '0' and float(worst[2]) < 1e-4
    print('%-10s weights of %s pairs, greatest difference %.1e, goal 1e-04 %s' % (name, worst[0], float(worst[2]), 'ok' if good else 'MISS (%s pairs on one side only)' % worst[1]))

    for label, settings in (('cxm, the same settings', {k: v for k, v in ours.items() if k != 'lambda'}), ('cxm, no settings', {'link_type': ours['link_type'], 'source': 'source_dataset'})):
        if 'comparisons' in settings:
            settings = json.loads(json.dumps(settings))
            for c in settings['comparisons']:
                c['levels'] = [{k: v for k, v in l.items() if k not in 'mu'} for l in c['levels']]
            settings.update(blocking=s['blocking'], training=s['training'], deterministic=s['deterministic'], recall=s['recall'])
        else:
            query = 'SELECT %s FROM records' % ', '.join(['unique_id', 'source_dataset'] + s['columns'])
            settings['ignore'] = ['source_dataset']
        psql('DROP TABLE IF EXISTS ours')
        started = time.time()
        psql("""CREATE TABLE ours AS SELECT s.*, NULL::boolean AS ok
FROM (SELECT cxm.linkage_train($q$%s$q$, $m$%s$m$) AS model) AS t, cxm.linkage_score($q$%s$q$, t.model, 0.01) AS s""" % (query, json.dumps(settings), query))
        seconds = time.time() - started
        psql('UPDATE ours AS p SET ok = x.cluster = y.cluster FROM records AS x, records AS y WHERE x.unique_id = p.record_a AND y.unique_id = p.record_b')
        print('%-10s %-22s %6.1f s   %s' % (name, label, seconds, measured('ours', true_pairs)))
    return good


def main():
    psql('CREATE DATABASE %s' % DB, os.environ.get('PGDATABASE', 'postgres'))
    try:
        psql('CREATE EXTENSION cxm')
        good = [compare(name, s) for name, s in SETS.items()]
    finally:
        psql('DROP DATABASE IF EXISTS %s WITH (FORCE)' % DB, os.environ.get('PGDATABASE', 'postgres'))
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
