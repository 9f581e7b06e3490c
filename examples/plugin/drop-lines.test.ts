// The contract of every processor: `node --test --test-force-exit drop-lines.test.ts`. The settings must let every record pass.
import { processorContract } from 'outband/testing';
import dropLines from './drop-lines.ts';

processorContract('drop_lines', { factory: dropLines, settings: { text: 'none has this' } });
