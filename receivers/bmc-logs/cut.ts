/** The first `max` characters, as a text of their own: a slice would keep the whole text alive. */
export function cut(text: string, max: number): string {
  return text.length <= max ? text : Buffer.from(text.slice(0, max)).toString();
}
