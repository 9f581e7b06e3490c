import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_SSE_EVENT_CHARS, type SseMessage, SseReader } from '../../../receivers/bmc-logs/stream/sse-reader.ts';

function read(...chunks: (string | Uint8Array)[]) {
  const messages: SseMessage[] = [];
  const retries: number[] = [];
  const reader = new SseReader({
    onMessage: (message) => messages.push(message),
    onRetry: (ms) => retries.push(ms),
    onComment: () => {},
  });
  for (const chunk of chunks) reader.feed(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  return { messages, retries, reader };
}
const data = (...chunks: (string | Uint8Array)[]) => read(...chunks).messages.map((message) => message.data);

for (const [what, text] of [
  ['LF', 'data: a\ndata: b\n\n'],
  ['CR', 'data: a\rdata: b\r\r'],
  ['CRLF', 'data: a\r\ndata: b\r\n\r\n'],
  ['a byte order mark', '\ufeffdata: a\ndata: b\n\n'],
  ['no blank after the colon', 'data:a\ndata:b\n\n'],
] as const)
  test(`${what} reads like plain LF, at every split`, () => {
    const bytes = Buffer.from(text);
    for (let cut = 0; cut <= bytes.length; cut++)
      assert.deepEqual(data(bytes.subarray(0, cut), bytes.subarray(cut)), ['a\nb'], `cut at ${cut}`);
  });

test('a character split over two chunks is whole', () => {
  const bytes = Buffer.from('data: 温度\n\n');
  for (let cut = 0; cut <= bytes.length; cut++)
    assert.deepEqual(data(bytes.subarray(0, cut), bytes.subarray(cut)), ['温度']);
});

test('an event without its blank line at the end of the stream is not told', () => {
  assert.deepEqual(data('data: a\n\ndata: b\n'), ['a']);
});

test('comments and empty data are no messages', () =>
  assert.deepEqual(data(': keep-alive\n\ndata:\n\ndata: \n\n'), []));

test('the last id is kept unless it is empty, "0", too long or nothing that a header may hold', () => {
  const last = (text: string) => read(text).reader.lastEventId;
  assert.equal(last('id: 41\ndata: a\n\n'), '41');
  assert.equal(last('id: 41\ndata: a\n\nid: 0\ndata: heartbeat\n\n'), '41');
  assert.equal(last('id: 41\ndata: a\n\nid:\ndata: b\n\n'), '41');
  assert.equal(last('id: 41\ndata: a\n\nid: 4\u00002\ndata: b\n\n'), '41');
  assert.equal(last('id: 41\ndata: a\n\nid: 日7\ndata: b\n\n'), '41');
  assert.equal(last(`id: 41\ndata: a\n\nid: ${'9'.repeat(257)}\ndata: b\n\n`), '41');
});

test('a wait that the server wishes for is told, a nonsense one is not', () => {
  assert.deepEqual(read('retry: 30000\n\nretry: x\n\nretry: -5\n\n').retries, [30_000]);
});

test('an event beyond the limit ends the reading, in one chunk or in many', () => {
  const big = 'x'.repeat(MAX_SSE_EVENT_CHARS + 1);
  assert.equal(read(`data: ${big}\n\n`).reader.tooLarge, true);
  const { reader, messages } = read('data: ', ...Array.from({ length: 20 }, () => 'y'.repeat(65_536)), '\n\n');
  assert.equal(reader.tooLarge, true);
  assert.deepEqual(messages, []);
  reader.feed(Buffer.from('data: more\n\n'));
});
