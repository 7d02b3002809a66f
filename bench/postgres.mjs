import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf, runProgram, statMs } from './harness.mjs';

/** A PostgreSQL server of one's own, as a peer. */

const PROGRAMS = '/usr/lib/postgresql';

/** Folder of the newest installed server, or undefined. */
export function findPostgres() {
  if (!existsSync(PROGRAMS)) return undefined;
  const versions = readdirSync(PROGRAMS).sort((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(PROGRAMS, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'pg_checksums')));
}

/**
 * Makes an empty cluster with checksums.
 *
 * @param {string} bin folder of the programs
 * @param {string} data a folder to be made
 * @param {string[]} settings `name=value` for the server
 */
export function createCluster(bin, data, settings) {
  mkdirSync(data);
  // The server refuses to run as root: then it runs as its own user.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const id = (/** @type {string} */ flag) => Number(outputOf('id', [flag, 'postgres']));
    chownSync(data, id('-u'), id('-g'));
  }
  /** @type {(program: string, args: string[]) => [string, string[]]} */
  const asServer = (program, args) =>
    isRoot ? ['runuser', ['-u', 'postgres', '--', join(bin, program), ...args]] : [join(bin, program), args];
  const all = ["listen_addresses=''", `unix_socket_directories='${data}'`, ...settings];
  const options = all.map((setting) => `-c ${setting}`).join(' ');
  runProgram(
    ...asServer('initdb', ['-D', data, '--data-checksums', '--no-sync', '-A', 'trust', '-U', 'bench']),
  );
  let isRunning = false;
  return {
    asServer,
    /** Returns when the server takes questions: after recovery. */
    start: () => {
      runProgram(...asServer('pg_ctl', ['-D', data, '-w', '-o', options, '-l', join(data, 'log'), 'start']));
      isRunning = true;
    },
    /** Milliseconds of processors that the running server and its processes have taken. */
    cpu: () => {
      const server = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0] ?? '';
      const { own, children } = statMs(server);
      let ms = own + children;
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        try {
          const { parent, own: ofChild } = statMs(pid);
          if (parent === Number(server)) ms += ofChild;
        } catch {
          // It ended meanwhile.
        }
      }
      return ms;
    },
    /** @param {'fast' | 'immediate'} mode */
    stop: (mode = 'fast') => {
      if (isRunning) runProgram(...asServer('pg_ctl', ['-D', data, '-w', '-m', mode, 'stop']));
      isRunning = false;
    },
    /** @param {string} sql */
    query: (sql) =>
      outputOf(
        ...asServer('psql', [
          '-h',
          data,
          '-U',
          'bench',
          '-At',
          '-v',
          'ON_ERROR_STOP=1',
          '-c',
          sql,
          'postgres',
        ]),
      ),
  };
}
