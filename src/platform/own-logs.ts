import { inspect } from 'node:util';
import { SeverityNumber } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import { LoggerProvider, type LogRecordProcessor } from '@opentelemetry/sdk-logs';
import type { Clock } from '../component/clock.ts';
import type { LogFields, Logger } from '../component/component.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { MetricDoc } from '../component/metric-doc.ts';
import { escapeForTerminal } from '../telemetry/escape.ts';
import { toHrTime } from '../telemetry/time.ts';
import { LogSampler, type SamplingOptions } from './log-sampler.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface OwnLogsOptions {
  /** Least level that is written. */
  readonly level: LogLevel;
  /** `console`: time TAB level TAB message TAB JSON fields. `json`: one object with `ts`, `level`, `msg`. */
  readonly encoding: 'console' | 'json';
  readonly clock: Clock;
  /** Receives one line with its newline. */
  readonly write: (line: string) => void;
  /** Default: every line is written. */
  readonly sampling?: SamplingOptions;
  /** Stand on every line. */
  readonly initialFields?: LogFields;
  /** Called for each line that sampling leaves out. */
  readonly onSampledOut?: () => void;
  /** Where the lines go, too. */
  readonly processors?: readonly LogRecordProcessor[];
  /** The agent, for those who get the lines as records. */
  readonly resource?: Resource;
}

export interface OwnLogs {
  /** From the next line on. */
  configure(options: Pick<OwnLogsOptions, 'level' | 'sampling'>): void;
  /** @param fields stand on every line, such as the component's id */
  logger(fields?: LogFields): Logger;
  /** Sends what waits in processors. */
  shutdown(): Promise<void>;
}

export const OWN_LOGS_DROPPED: MetricDoc = {
  ...{ name: 'otelcol_own_logs_dropped', kind: 'counter', unit: '{line}', attributes: ['reason'] },
  description: 'Lines of the own log that were not written.',
};

const SEVERITY = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const satisfies Record<LogLevel, SeverityNumber>;

/** Names that a line has itself. */
const FRAME: ReadonlySet<string> = new Set(['ts', 'level', 'msg']);
/** A longer field is cut, with its length: remote text must not flood the log. */
const MAX_FIELD_CHARS = 4_096;

/**
 * The agent's own log, through the OpenTelemetry logs SDK, never through its own pipelines: a pipeline that is stuck
 * can still be read about.
 */
export function createOwnLogs(options: OwnLogsOptions): OwnLogs {
  const { encoding, clock, write, initialFields = {}, onSampledOut = () => {}, resource, processors = [] } = options;
  let { level } = options;
  let sampler = options.sampling && new LogSampler(options.sampling);
  const format = encoding === 'json' ? formatJson : formatConsole;
  const toStream: LogRecordProcessor = {
    onEmit(record) {
      const [seconds, nanos] = record.hrTime;
      const ts = new Date(seconds * 1_000 + Math.floor(nanos / 1e6)).toISOString();
      const fields = record.attributes as Record<string, unknown>;
      write(`${format(ts, record.severityText ?? '', String(record.body), fields)}\n`);
    },
    forceFlush: async () => {},
    shutdown: async () => {},
  };
  const provider = new LoggerProvider({ ...(resource && { resource }), processors: [toStream, ...processors] });
  const sdkLogger = provider.getLogger('outband');

  return {
    shutdown: () => provider.shutdown(),
    configure({ level: next, sampling }) {
      level = next;
      sampler = sampling && new LogSampler(sampling);
    },
    logger(base = {}) {
      const emit = (severity: LogLevel, message: string, fields: LogFields = {}) => {
        if (SEVERITY[severity] < SEVERITY[level]) return;
        const leftOut = sampler ? sampler.admit(severity, message, codeOf(fields), clock.monotonic()) : 0;
        if (leftOut === undefined) return onSampledOut();
        sdkLogger.emit({
          timestamp: toHrTime(clock.now()),
          severityNumber: SEVERITY[severity],
          severityText: severity,
          body: message,
          attributes: printable({
            ...{ ...initialFields, ...base, ...fields },
            ...(leftOut > 0 && { sampled_out: leftOut }),
          }),
        });
      };
      return {
        debug: (message, fields) => emit('debug', message, fields),
        info: (message, fields) => emit('info', message, fields),
        warn: (message, fields) => emit('warn', message, fields),
        error: (message, fields) => emit('error', message, fields),
      };
    },
  };
}

function codeOf({ error }: LogFields): string | undefined {
  return error instanceof OutbandError ? error.code : undefined;
}

function printable(fields: LogFields): Record<string, string | number | boolean> {
  const out: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const key = FRAME.has(name) ? `field.${name}` : name;
    if (value instanceof Error) {
      out[key] = cut(textOf(() => describeError(value)));
      if (value instanceof OutbandError) {
        out['error.code'] = value.code;
        out.hint = cut(value.advice);
      }
    } else if (typeof value === 'number' || typeof value === 'boolean') out[key] = value;
    else out[key] = cut(textOf(() => (typeof value === 'object' && value !== null ? jsonOf(value) : String(value))));
  }
  return out;
}

/** A line about an error must come out whatever stands in it: a getter that throws, too. */
function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return 'cannot be printed';
  }
}

function jsonOf(value: object): string {
  try {
    return JSON.stringify(value) ?? inspect(value);
  } catch {
    // A circle, a bigint.
    return inspect(value, { depth: 3, breakLength: Number.POSITIVE_INFINITY });
  }
}

function cut(text: string): string {
  return text.length <= MAX_FIELD_CHARS ? text : `${text.slice(0, MAX_FIELD_CHARS)}... (${text.length} characters)`;
}

function formatConsole(ts: string, level: string, message: string, fields: Record<string, unknown>): string {
  const head = `${ts}\t${level}\t${escapeForTerminal(message)}`;
  return Object.keys(fields).length === 0 ? head : `${head}\t${escapeForTerminal(JSON.stringify(fields))}`;
}

function formatJson(ts: string, level: string, message: string, fields: Record<string, unknown>): string {
  return escapeForTerminal(JSON.stringify({ ts, level, msg: message, ...fields }));
}
