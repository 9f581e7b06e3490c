import type { JsonObject } from '../json.ts';
import { textOf } from '../json.ts';

const MAX_BODY_CHARS = 65_536;

/** `Message` with its arguments filled in, else `MessageId`, else `Name`, else "". Registries are not fetched. */
export function bodyOf(json: JsonObject): string {
  const text = filledMessage(json) ?? textOf(json.MessageId) ?? textOf(json.Name) ?? '';
  return text.slice(0, MAX_BODY_CHARS);
}

/** Some firmware sends the template of the registry (`Fan %1 failed`) with the arguments beside it. */
function filledMessage(json: JsonObject): string | undefined {
  const message = textOf(json.Message);
  const args = json.MessageArgs;
  if (message === undefined || !Array.isArray(args)) return message;
  return message.replaceAll(/%(\d+)/g, (placeholder, number) => {
    const arg = args[Number(number) - 1];
    return arg === undefined || arg === null || typeof arg === 'object' ? placeholder : String(arg);
  });
}
