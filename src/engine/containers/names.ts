/** Names of containers: which are allowed, and made-up ones for those that were given none. */
import { randomInt } from "node:crypto";
import { invalidParameter } from "../../lib/errors.ts";

const ALLOWED = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** The name without its slash. Throws Docker's error. */
export function checkName(name: string): string {
  const plain = name.startsWith("/") ? name.slice(1) : name;
  if (!ALLOWED.test(plain)) throw invalidParameter(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  return plain;
}

const QUALITIES =
  "able amber ample astute balmy bold breezy brisk calm candid civil clear clever cosy crisp curious dapper daring deft eager earnest easy fair fleet fond frank fresh gentle glad golden grand handy hardy hearty humble jolly keen kind light lively loyal lucid mellow merry mild modest neat nimble noble patient placid plucky polite prime proud quick quiet ready robust rosy serene sharp silver sincere snug sober solid spry steady sturdy sunny swift tidy true upbeat vivid warm wise witty zesty".split(
    " ",
  );
const PEOPLE =
  "abel agnesi ampere arago babbage banneker bernoulli berzelius boole boyle brahe cantor carver cavendish cayley celsius chandra clairaut copernicus coulomb daubechies descartes dijkstra dirac doppler eddington elion erdos euclid euler fermat feynman fourier franklin fresnel galilei galois gauss germain gibbs godel haber halley hamilton herschel hilbert hooper hopper hubble huygens hypatia jacobi joule karle kepler khayyam kovalevskaya lagrange laplace lavoisier leavitt leibniz linnaeus lovelace mayer maxwell meitner mendel mirzakhani napier newton noether ohm pascal pasteur payne planck ptolemy ramanujan riemann rubin shannon sikorsky somerville tesla turing volta wiener wilkins wu yalow zhang".split(
    " ",
  );

/** A name that `isTaken` denies; with several collisions one that ends in a digit, and at last the short id. */
export function inventName(id: string, isTaken: (name: string) => boolean): string {
  for (let attempt = 0; attempt < 6; attempt++) {
    const name = `${QUALITIES[randomInt(QUALITIES.length)]}_${PEOPLE[randomInt(PEOPLE.length)]}${attempt === 0 ? "" : randomInt(10)}`;
    if (!isTaken(name)) return name;
  }
  return id.slice(0, 12);
}
