import { AsyncLocalStorage } from 'node:async_hooks';

const atWork = new AsyncLocalStorage<string>();

/** Runs work of a component: all that comes of it, timers and sockets too, is its work. @param component its name in log lines */
export function workOf<T>(component: string, work: () => T): T {
  return atWork.run(component, work);
}

/** The component whose work this is. For errors that nobody caught; undefined: of none. */
export function componentAtWork(): string | undefined {
  return atWork.getStore();
}
