import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownResult } from '../../../receivers/attestation/probe/result.ts';
import { settle } from '../../../src/testing/fake-clock.ts';
import type { Fault } from '../../simulators/attested-fleet/faults.ts';
import { startAttestedFleet } from '../../simulators/attested-fleet/fleet.ts';
import { type AttestedScene, attestedScene, REFRESH_MS } from '../../support/attested-scene.ts';

const MARKERS = {
  path: 'canarypath',
  query: 'canaryquery',
  header: 'canary-bearer-key',
  model: undefined,
  title: 'Welcome',
  ssh: 'OpenSSH',
} as const;

/** Attributes that hold keys, and what tells one record from another. */
const HEX_ALLOWED = new Set([
  ...['fingerprint', 'observed_fingerprints', 'unverified_fingerprints', 'reported_fingerprint', 'evidence_sha256'],
  ...['log.record.uid'],
]);
const FORBIDDEN = /:\/\/|\b\d{1,3}(\.\d{1,3}){3}\b|[0-9a-f]{16,}/i;

function assertClean(what: string, value: unknown): void {
  const text = JSON.stringify(value) ?? '';
  for (const marker of Object.values(MARKERS)) if (marker) assert.ok(!text.includes(marker), `${what}: ${text}`);
  assert.doesNotMatch(text, FORBIDDEN, what);
}

function withoutKeys(attributes: object): object {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !HEX_ALLOWED.has(name)));
}

const FAULTS: readonly Fault[] = [
  ...([
    'handshakeAlert',
    'expiredLeaf',
    'wrongName',
    'foreignCa',
    'resetBeforeHead',
    'finBeforeHead',
    'notHttp',
  ] as const),
  ...(['hugeHead', 'html', 'truncated', 'array', 'body3MB', 'gzipBomb', 'unknownEncoding', 'notJson'] as const),
  ...(['wrongNonce', 'replay', 'padded', 'wrongFingerprint', 'wrongBinding', 'quoteV5', 'badSignature'] as const),
  ...(['foreignRoot', 'debugBit', 'unknownTcb', 'wrongRtmr3', 'duplicateImageHash', 'lateImageHash'] as const),
  ...(['unlistedImage', 'wrongCompose', 'wrongMrConfig', 'gpuNonce', 'gpuFail', 'noGpu'] as const),
  ...[{ status: 302 }, { status: 500 }, { dropField: 'intel_quote' }, { dropField: 'tls_cert_fingerprint' }],
];

async function assertNothingLeaks(scene: AttestedScene): Promise<void> {
  for (const { eventName, attributes, body, severityNumber } of scene.records) {
    if ((severityNumber ?? 0) < 9) continue;
    assertClean(String(eventName), [body, withoutKeys(attributes)]);
    for (const key of [attributes.observed_fingerprints, attributes.fingerprint].flat())
      if (key !== undefined) assert.match(String(key), /^[0-9a-f]{64}$/);
  }
  for (const { level, message, fields } of scene.host.lines)
    if (level !== 'debug') assertClean(message, [message, withoutKeys((fields ?? {}) as object)]);
  const snapshot = scene.host.scheduler('scheduler').snapshot();
  for (let index = 0; index < snapshot.size; index++) {
    const { key, connection, lastError, facts } = snapshot.target(index);
    assertClean('scheduler', { key, connection, error: lastError?.message, facts });
  }
  const { resourceMetrics } = await scene.metrics.reader.collect();
  for (const { metrics } of resourceMetrics.scopeMetrics)
    for (const { dataPoints, descriptor } of metrics)
      for (const { attributes } of dataPoints as { attributes: object }[]) assertClean(descriptor.name, attributes);
  const view = JSON.stringify(await scene.view());
  for (const marker of Object.values(MARKERS)) if (marker) assert.ok(!view.includes(marker), view);
  assert.doesNotMatch(view, /:\/\/|\b127\.0\.0\.1\b/);
}

test('nothing of a peer, a URL, an account, an address or a path gets into what is told', async (t) => {
  const fleet = await startAttestedFleet({ n: 2, gpu: true });
  t.after(() => fleet.stop());
  const scene = await attestedScene(t, {
    fleet,
    models: [{ url: `${fleet.url('glm')}/${MARKERS.path}?${MARKERS.query}=1` }],
    config: {
      initial: { calls: 2, max_calls: 2, launch_stagger: '0s' },
      cumulative: { calls: 2, max_calls: 2, launch_stagger: '0s' },
      request: { headers: { authorization: `Bearer ${MARKERS.header}` } },
      sources: [
        { file: '/canarypath/models.yaml' },
        { http: { url: 'https://user-of.invalid/canarypath?canaryquery' } },
      ],
      verification: {
        gpu: { mode: 'required', nras_url: fleet.nrasUrl, jwks_url: fleet.jwksUrl, issuer: fleet.nrasIssuer },
      },
    },
  });
  await scene.cycle();
  for (const fault of FAULTS) {
    fleet.clearFaults();
    fleet.fault('all', fault);
    // With an open breaker a retry comes an interval later, and a little more.
    const cycle = await scene.next(1.2 * REFRESH_MS);
    assert.equal(cycle.failure_reasons.length, 2, JSON.stringify(fault));
  }
  fleet.clearFaults();
  for (const verdict of ['wrongKid', 'wrongIssuer', 'outage'] as const) {
    fleet.nrasControl.verdict = verdict;
    await scene.next(1.2 * REFRESH_MS);
  }
  fleet.refuse();
  await scene.next(1.2 * REFRESH_MS);
  await scene.ask('POST', '/api/monitoring/attestation/glm/candidates', { fingerprint: 'ab'.repeat(32) });
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.equal(scene.events('attestation.source.failed').length, 2);
  await assertNothingLeaks(scene);
});

test('an address in place of a name stays out, too', async (t) => {
  const fleet = await startAttestedFleet({ n: 1 });
  t.after(() => fleet.stop());
  const scene = await attestedScene(t, {
    fleet,
    models: [{ name: undefined, url: `https://127.0.0.1:${fleet.port}` }],
    config: { initial: { calls: 1, max_calls: 1, launch_stagger: '0s' } },
  });
  const cycle = await scene.cycle();
  assert.equal(cycle.total_pinned, 0);
  for (const record of scene.records) {
    assertClean('resource', record.resource.attributes);
    assertClean('record', withoutKeys(record.attributes));
  }
  for (const { level, message, fields } of scene.host.lines)
    if (level !== 'debug') assertClean(message, withoutKeys((fields ?? {}) as object));
});

test('what a probe is shown as holds its local port nowhere', () => {
  const shown = shownResult('id', {
    ...{ attempt: 0, via: { kind: 'plain' }, algo: 'ecdsa', outcome: 'ok', checksSkipped: [], localPort: 4711 },
    ...{ elapsed: { total: 1 }, evidence: {} },
  });
  assert.ok(!JSON.stringify(shown).includes('4711'));
});
