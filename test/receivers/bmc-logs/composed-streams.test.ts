import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type SseMessage, SseReader } from '../../../receivers/bmc-logs/stream/sse-reader.ts';
import { startBmcFleet } from '../../simulators/bmc/fleet.ts';
import { startOtlpSink } from '../../simulators/otlp-sink/sink.ts';
import { bmcConfig } from '../../support/bmc-config.ts';
import { bmcReaders } from '../../support/bmc-readers.ts';
import { agentOf } from '../../support/run-agent.ts';

const FOLDER = join(process.env.REDFISH_RECORDINGS ?? '', 'sse-composed');
const skip = existsSync(FOLDER) ? false : 'REDFISH_RECORDINGS names no folder with sse-composed';
const streams = skip ? ['(no recordings)'] : readdirSync(FOLDER).filter((name) => name.endsWith('.sse'));

/** What each stream tells, as a person reads it: message id, severity, time. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  '01-bmcweb-pretty-two-events-and-heartbeat-id0.sse': [
    'OpenBMC.0.1.SensorThresholdWarningLowGoingLow 9 2024-08-21T05:27:15.000Z',
    'OpenBMC.0.1.SensorThresholdWarningLowGoingHigh 9 2024-08-21T05:27:30.000Z',
    'OpenBMC.0.1.SensorThresholdWarningLowGoingLow 9 2024-08-21T05:27:57.000Z',
  ],
  '02-bmcweb-buffer-exceeded-bare-message.sse': ['Base.1.19.EventBufferExceeded 17 -'],
  '03-bmcweb-replay-bare-eventrecord.sse': ['ResourceEvent.1.3.ResourceChanged 9 2024-08-21T05:27:15.000Z'],
  '04-idrac-style-named-event-retry-compact-offset.sse': ['TMP0120 13 2021-09-13T23:28:55.000Z'],
  '05-metricreport-between-events.sse': ['OpenBMC.0.1.SensorThresholdWarningLowGoingHigh 9 2024-08-21T05:28:04.000Z'],
  '06-comments-only-keepalive.sse': [],
};

async function recordsOf(chunks: readonly Uint8Array[]) {
  const messages: SseMessage[] = [];
  const reader = new SseReader({
    onMessage: (message) => messages.push(message),
    onRetry: () => {},
    onComment: () => {},
  });
  for (const chunk of chunks) reader.feed(chunk);
  const { stream, received } = bmcReaders({});
  await stream.take(messages);
  return received;
}

for (const name of streams)
  test(`${name}: cut at every byte position it gives the same records`, { skip }, async () => {
    const bytes = readFileSync(join(FOLDER, name));
    const whole = await recordsOf([bytes]);
    const told = whole.map(({ attributes, severityNumber, hrTime }) => {
      const time = hrTime[0] === 0 ? '-' : new Date(hrTime[0] * 1_000).toISOString();
      return `${attributes['redfish.message_id']} ${severityNumber} ${time}`;
    });
    assert.deepEqual(told, EXPECTED[name]);
    for (let cut = 0; cut <= bytes.length; cut++)
      assert.deepEqual(await recordsOf([bytes.subarray(0, cut), bytes.subarray(cut)]), whole, `cut at ${cut}`);
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    assert.deepEqual(await recordsOf(single), whole, 'one byte at a time');
  });

for (const name of streams.filter((one) => EXPECTED[one]?.length !== 0))
  test(`${name}: byte by byte over a socket it arrives whole at the sink`, { skip }, async () => {
    const bytes = readFileSync(join(FOLDER, name));
    const fleet = await startBmcFleet({ count: 1, profiles: ['openbmc'] });
    const sink = await startOtlpSink();
    fleet.bmc(0).stream = { kind: 'script', bytes, splitAt: [...bytes.keys()].slice(1), end: 'silence' };
    const agent = agentOf(bmcConfig({ endpoints: fleet.bmcs, sink }));
    await agent.start();
    const expected = EXPECTED[name]!;
    await fleet.waitFor(() => fleet.bmc(0).streamRequests > 0);
    await sink.waitFor(() => sink.records.length >= expected.length);
    assert.deepEqual(
      sink.records.map(({ attributes }) => String(attributes['redfish.message_id'])),
      expected.map((line) => line.split(' ')[0]),
    );
    await agent.stop();
    await Promise.all([fleet.close(), sink.close()]);
  });
