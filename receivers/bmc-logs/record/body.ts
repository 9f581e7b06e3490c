import { cut } from '../cut.ts';
import { type Json, type JsonObject, textOf } from '../json.ts';

const MAX_BODY_CHARS = 65_536;

export interface Body {
  readonly text: string;
  /** It was longer than the limit. */
  readonly truncated: boolean;
}

/** `Message` with its arguments filled in, else `MessageId`, else `Name`, else "". Registries are not fetched. */
export function bodyOf(json: JsonObject): Body {
  const text = filledMessage(json) ?? textOf(json.MessageId) ?? textOf(json.Name) ?? '';
  return { text: cut(text, MAX_BODY_CHARS), truncated: text.length > MAX_BODY_CHARS };
}

/**
 * Some firmware sends the template of the registry (`Fan %1 failed`) with the arguments beside it. Filling ends at the
 * limit: a short template can name a long argument many times.
 */
function filledMessage(json: JsonObject): string | undefined {
  const message = textOf(json.Message);
  const args = json.MessageArgs;
  if (message === undefined || !Array.isArray(args)) return message;
  const parts: string[] = [];
  let length = 0;
  for (const part of message.split(/(%\d{1,3})/)) {
    const filled = part.startsWith('%') ? argument(args, part) : part;
    parts.push(filled);
    length += filled.length;
    if (length > MAX_BODY_CHARS) break;
  }
  return parts.join('');
}

function argument(args: readonly Json[], placeholder: string): string {
  const arg = args[Number(placeholder.slice(1)) - 1];
  return arg === undefined || arg === null || typeof arg === 'object' ? placeholder : String(arg);
}
