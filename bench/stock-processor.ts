// How many of a burst of 10,000 records the SDK's own batch processor exports, with its defaults and an exporter that
// takes 5 ms per request. Run: node bench/stock-processor.ts
import { setTimeout as sleep } from 'node:timers/promises';
import { ExportResultCode } from '@opentelemetry/core';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';

const BURST = 10_000;
let exported = 0;
const exporter = {
  export(records: readonly unknown[], done: (result: { code: ExportResultCode }) => void) {
    void sleep(5).then(() => {
      exported += records.length;
      done({ code: ExportResultCode.SUCCESS });
    });
  },
  async forceFlush() {},
  async shutdown() {},
};
const provider = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter })] });
const logger = provider.getLogger('bench');
for (let n = 0; n < BURST; n++) logger.emit({ body: `record ${n}` });
await provider.forceFlush();
await provider.shutdown();
process.stdout.write(`${JSON.stringify({ burst: BURST, exported, lost: BURST - exported })}\n`);
