import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { builtins } from '../../src/builtins.ts';
import { loadConfig } from '../../src/config/load.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

// biome-ignore lint/suspicious/noExplicitAny: manifests, which the tests take apart.
type Manifest = Record<string, any>;

function manifests(file: string): Manifest[] {
  const documents = parseAllDocuments(read(`deploy/kubernetes/${file}`));
  assert.ok(Array.isArray(documents));
  for (const { errors } of documents) assert.deepEqual(errors, []);
  return documents.map((document) => document.toJS() as Manifest);
}

const PACKAGE = JSON.parse(read('package.json')) as {
  version: string;
  devDependencies: { node: string };
  files: string[];
};

for (const [file, workload] of [
  ['sidecar.yaml', 'Deployment'],
  ['statefulset.yaml', 'StatefulSet'],
] as const) {
  test(`${file}: its configuration is one, and its ports, paths and user are those of the agent`, () => {
    const all = manifests(file);
    const kinds = all.map(({ kind }) => kind);
    for (const kind of ['ConfigMap', workload, 'NetworkPolicy']) assert.ok(kinds.includes(kind), kind);
    const text = all.find(({ kind }) => kind === 'ConfigMap')!.data['config.yaml'] as string;
    const env: Record<string, string> = { SHARD: '0', SHARDS_COUNT: '3' };
    const result = loadConfig(file, text, builtins, { env: (name) => env[name], file: () => '' });
    assert.ok('config' in result, JSON.stringify('problems' in result && result.problems));
    const { config } = result;
    const { spec } = all.find(({ kind }) => kind === workload)!;
    const pod = spec.template.spec;
    const [container] = pod.containers;
    assert.equal(container.image, `outband:${PACKAGE.version}`);
    assert.deepEqual(container.args, ['run', '--config', '/etc/outband/config.yaml']);
    const health = config.extensions.get('health_check')!.config as { endpoint: string };
    const healthPort = Number(health.endpoint.split(':')[1]);
    const ports = new Map(container.ports.map((port: Manifest) => [port.name, port.containerPort]));
    assert.equal(ports.get('health'), healthPort);
    assert.equal(ports.get('metrics'), config.service.telemetry.metrics.readers[0]!.pull!.exporter.prometheus.port);
    // Whoever scrapes is not on this pod.
    assert.equal(config.service.telemetry.metrics.readers[0]!.pull!.exporter.prometheus.host, '0.0.0.0');
    const store = config.extensions.get('file_storage')?.config as { directory: string } | undefined;
    const volume = container.volumeMounts.find(({ name }: Manifest) => name === 'state')?.mountPath;
    // A volume belongs to root and its group: the agent makes a directory of its own below it.
    if (store) assert.ok(store.directory.startsWith(`${volume}/`), store.directory);
    assert.equal(container.livenessProbe.httpGet.path, '/livez');
    assert.equal(container.readinessProbe.httpGet.path, '/readyz');
    assert.deepEqual([pod.securityContext.runAsNonRoot, pod.securityContext.runAsUser], [true, 10_001]);
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
    assert.deepEqual(container.securityContext.capabilities.drop, ['ALL']);
    assert.ok(container.resources.requests && container.resources.limits);
    assert.ok(pod.terminationGracePeriodSeconds * 1_000 > config.service.shutdown_timeout);
    const policy = all.find(({ kind }) => kind === 'NetworkPolicy')!.spec;
    assert.deepEqual(policy.policyTypes, ['Ingress', 'Egress']);
    assert.deepEqual(policy.podSelector, spec.selector);
  });
}

test('each pod of the fleet has a share, a volume, and a name of its own', () => {
  const all = manifests('statefulset.yaml');
  const { spec } = all.find(({ kind }) => kind === 'StatefulSet')!;
  const { env, volumeMounts } = spec.template.spec.containers[0];
  const variables = new Map(env.map((one: Manifest) => [one.name, one]));
  assert.equal((variables.get('SHARDS_COUNT') as Manifest).value, String(spec.replicas));
  assert.match((variables.get('SHARD') as Manifest).valueFrom.fieldRef.fieldPath, /pod-index/);
  assert.equal(spec.volumeClaimTemplates[0].metadata.name, 'state');
  assert.ok(volumeMounts.some(({ name, mountPath }: Manifest) => name === 'state' && mountPath === '/var/lib/outband'));
  assert.ok(all.some(({ kind, spec: service }) => kind === 'Service' && service.clusterIP === 'None'));
  assert.ok(all.some(({ kind }) => kind === 'PodDisruptionBudget'));
});

test('the image runs what is built, on the Node that is tested, and not as root', () => {
  const text = read('deploy/docker/Dockerfile');
  const major = PACKAGE.devDependencies.node.split('.')[0];
  for (const [, tag] of text.matchAll(/^FROM node:(\d+)-slim/gm)) assert.equal(tag, major);
  assert.match(text, /^RUN install -d -m 0700 -o (\d+) -g \1 \/var\/lib\/outband$/m);
  assert.match(text, /^USER \d+:\d+$/m);
  assert.match(text, /^ENTRYPOINT \["node", "\/app\/dist\/src\/main\.js"\]$/m);
  assert.match(text, /^HEALTHCHECK .*CMD \["node", "\/app\/dist\/src\/main\.js", "status", "--check"\]$/m);
  const allowed = read('.dockerignore')
    .match(/^!(.+)$/gm)!
    .map((line) => line.slice(1));
  for (const path of allowed) assert.ok(existsSync(join(ROOT, path)), path);
  for (const [, path] of text.matchAll(/\/src\/([\w.-]+\.(?:json|yaml)|LICENSE)/g))
    assert.ok(allowed.includes(path!), path);
  for (const needed of ['src', 'receivers', 'exporters', 'scripts', 'tsconfig.build.json'])
    assert.ok(allowed.includes(needed), needed);
});

test('the unit starts the command, and systemd understands it', (t) => {
  const text = read('deploy/systemd/outband.service');
  assert.match(text, /^ExecStart=\/usr\/bin\/env outband run --config \/etc\/outband\/config\.yaml$/m);
  assert.match(text, /^DynamicUser=yes$/m);
  const stop = Number(/^TimeoutStopSec=(\d+)s$/m.exec(text)![1]);
  assert.ok(stop > 10, 'above the default of service::shutdown_timeout');
  try {
    execFileSync('systemd-analyze', ['verify', join(ROOT, 'deploy/systemd/outband.service')], { stdio: 'pipe' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('systemd-analyze is not here');
  }
});
