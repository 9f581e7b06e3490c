import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { metricsOfAll, pageName } from '../../scripts/generate-docs.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

interface Metric {
  readonly kind: string;
  readonly labels: ReadonlySet<string>;
}
const METRICS = new Map<string, Metric>(
  metricsOfAll().map(({ doc, label }) => [
    pageName(doc.name),
    { kind: doc.kind, labels: new Set([label, ...doc.attributes].map(pageName)) },
  ]),
);
/** What Prometheus adds by itself. */
const ALWAYS = ['instance', 'job', 'le'];

interface Expression {
  readonly where: string;
  readonly expr: string;
  /** Labels that the text beside it names. */
  readonly shown: readonly string[];
}

const ruleFiles = globSync('dashboards/*.yaml', { cwd: ROOT });
const boards = globSync('dashboards/*.json', { cwd: ROOT });
const labelsIn = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, label]) => label!);

function expressions(): Expression[] {
  const ofRules = ruleFiles.flatMap((file) => {
    const { groups } = parse(read(file)) as {
      groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[];
    };
    return groups.flatMap(({ rules }) =>
      rules.map(({ alert, expr, annotations }) => ({
        ...{ where: `${file}: ${alert}`, expr },
        shown: labelsIn(annotations.summary, /\$labels\.(\w+)/g),
      })),
    );
  });
  const ofBoards = boards.flatMap((file) => {
    const { panels } = JSON.parse(read(file)) as {
      panels: { title: string; targets: { expr: string; legendFormat: string }[] }[];
    };
    return panels.flatMap(({ title, targets }) =>
      targets.map(({ expr, legendFormat }) => ({
        ...{ where: `${file}: ${title}`, expr, shown: labelsIn(legendFormat, /\{\{(\w+)\}\}/g) },
      })),
    );
  });
  return [...ofRules, ...ofBoards];
}

/** A metric as it stands in an expression, by the table. */
function metricOf(name: string): Metric | undefined {
  return METRICS.get(name) ?? METRICS.get(name.replace(/_bucket$/, ''));
}

function mistakesIn({ expr, shown }: Expression): string[] {
  const names = [...expr.matchAll(/\b(?:otelcol|outband|nodejs|v8js)_\w+(?!\w*[=~!])/g)].map(([name]) => name);
  const inBraces = new Set([...expr.matchAll(/[{(,]\s*(\w+)\s*(?:=|!)/g)].map(([, label]) => label!));
  const metrics = names.filter((name) => !inBraces.has(name) && !isLabel(name));
  const unknown = metrics.filter((name) => !metricOf(name)).map((name) => `there is no ${name}`);
  const known = metrics.flatMap((name) => metricOf(name) ?? []);
  const labels = new Set([...ALWAYS, ...known.flatMap((metric) => [...metric.labels])]);
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) =>
    list!.split(',').map((one) => one.trim()),
  );
  const wrongLabels = [...inBraces, ...grouped, ...shown]
    .filter((label) => !labels.has(label))
    .map((label) => `no series here has the label ${label}`);
  const wrongRates = [...expr.matchAll(/\b(?:rate|increase)\((\w+)/g)]
    .map(([, name]) => name!)
    .filter((name) => metricOf(name) && metricOf(name)!.kind !== 'counter' && !name.endsWith('_bucket'))
    .map((name) => `${name} is no counter`);
  return [
    ...(known.length === 0 && !/\bup\b/.test(expr) ? ['it names no metric'] : []),
    ...unknown,
    ...wrongLabels,
    ...wrongRates,
  ];
}

/** Some labels look like metrics: `outband_target_type`. */
function isLabel(name: string): boolean {
  return [...METRICS.values()].some(({ labels }) => labels.has(name));
}

test('every metric and every label of the dashboards and rules is real, and rates are of counters', () => {
  const all = expressions();
  assert.ok(all.length > 80, `${all.length} expressions`);
  assert.deepEqual(
    all.flatMap((one) => mistakesIn(one).map((mistake) => `${one.where}: ${mistake}`)),
    [],
  );
});

test('what is wrong in an expression is found', () => {
  const of = (expr: string, shown: readonly string[] = []) => mistakesIn({ where: '', expr, shown });
  assert.deepEqual(of('rate(outband_bmc_endpoints[5m])'), ['outband_bmc_endpoints is no counter']);
  assert.deepEqual(of('sum by (mood) (outband_bmc_endpoints)'), ['no series here has the label mood']);
  assert.deepEqual(of('outband_bmc_endpoints{mood="good"}'), ['no series here has the label mood']);
  assert.deepEqual(of('outband_bmc_endpoints', ['mood']), ['no series here has the label mood']);
  assert.deepEqual(of('rate(outband_bmc_pols[5m])'), ['it names no metric', 'there is no outband_bmc_pols']);
  assert.deepEqual(of('rate(outband_bmc_event_lag_bucket[5m])'), []);
});

test('Prometheus understands the rules', (t) => {
  try {
    for (const file of ruleFiles) execFileSync('promtool', ['check', 'rules', join(ROOT, file)], { stdio: 'pipe' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('promtool is not here');
  }
});
