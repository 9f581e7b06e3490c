const URL_TEXT = /\b[a-z][a-z0-9+.-]{1,20}:\/\/\S+/gi;
const IPV4 = /\b\d{1,3}(?:\.\d{1,3}){3}\b/g;
const IPV6 = /(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi;
const LONG_HEX = /[0-9a-f]{16,}/gi;

/** The second guard: texts are composed without such things, and if one gets in, it does not get out. */
export function redact(text: string): string {
  return text
    .replaceAll(URL_TEXT, '[url]')
    .replaceAll(IPV4, '[ip]')
    .replaceAll(IPV6, '[ip]')
    .replaceAll(LONG_HEX, '[hex]');
}
