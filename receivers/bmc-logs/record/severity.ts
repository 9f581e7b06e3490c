import { SeverityNumber } from '@opentelemetry/api';
import { type JsonObject, textOf } from '../json.ts';

export interface Severity {
  readonly number: SeverityNumber;
  /** The BMC's own word; undefined when it gave none. */
  readonly text: string | undefined;
}

/** `MessageSeverity`, else `Severity` (Redfish deprecated the latter in Event 1.5), in any case. */
export function severityOf(json: JsonObject, criticalAs: 'error' | 'fatal'): Severity {
  const text = textOf(json.MessageSeverity) ?? textOf(json.Severity);
  switch (text?.toLowerCase()) {
    case 'ok':
      return { number: SeverityNumber.INFO, text };
    case 'warning':
      return { number: SeverityNumber.WARN, text };
    case 'critical':
      return { number: criticalAs === 'fatal' ? SeverityNumber.FATAL : SeverityNumber.ERROR, text };
    default:
      return { number: SeverityNumber.UNSPECIFIED, text };
  }
}
