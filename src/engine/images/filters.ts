/** The filters of list and prune. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { matchPath } from "../../lib/path-match.ts";
import { canonicalName, familiarName, familiarRepository, parseReference, repositoryOf, withDefaultTag } from "../../lib/reference.ts";
import { parseTimeOrDuration } from "../../lib/time-or-duration.ts";
import type { ImageContext } from "./context.ts";
import { bestFor, type PlatformImage } from "./documents.ts";
import { findImage } from "./find.ts";
import { type ImageName, isDangling } from "./store.ts";

export type ImageFilter = (image: ImageName) => boolean;

/** All filters but `dangling` of prune. Throws Docker's refusals. */
export function imageFilter(context: ImageContext, filters: Filters): ImageFilter {
  const tests = [...createdFilters(context, filters), ...untilFilters(filters), ...labelFilters(context, filters), ...referenceFilters(filters)];
  if (filters.has("dangling")) {
    const wanted = filters.boolean("dangling");
    tests.push((image) => isDangling(image) === wanted);
  }
  return (image) => tests.every((test) => test(image));
}

function createdFilters(context: ImageContext, filters: Filters): ImageFilter[] {
  const created = (image: ImageName): number | undefined => {
    const text = mainImage(context, image)?.document.created;
    return text === undefined ? undefined : createdAt(text);
  };
  const compare = (key: string, keep: (candidate: number, reference: number) => boolean): ImageFilter[] =>
    filters.values(key).flatMap((value) => {
      const reference = created(findImage(context.store, value));
      return reference === undefined ? [] : [(image: ImageName) => keep(created(image) ?? Number.NaN, reference)];
    });
  return [...compare("before", (candidate, reference) => candidate < reference), ...compare("since", (candidate, reference) => candidate > reference)];
}

/** Microseconds since 1970: image times have nanoseconds, Date has milliseconds. */
function createdAt(text: string): number {
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? "";
  return Math.floor(Date.parse(text) / 1000) * 1e6 + Number(`${fraction}000000`.slice(0, 6));
}

function untilFilters(filters: Filters): ImageFilter[] {
  return filters.values("until").map((value) => {
    let until: bigint;
    try {
      until = parseTimeOrDuration(value);
    } catch (error) {
      throw invalidParameter(`invalid value for 'until' filter: ${messageOf(error)}`, error);
    }
    return (image) => BigInt(image.tagged) * 1_000_000n < until;
  });
}

function labelFilters(context: ImageContext, filters: Filters): ImageFilter[] {
  return ["label", "label!"].flatMap((key) =>
    filters.values(key).map((wanted) => {
      const equals = wanted.indexOf("=");
      let name = equals < 0 ? wanted : wanted.slice(0, equals);
      let negate = key === "label!";
      if (name.endsWith("!")) {
        name = name.slice(0, -1);
        negate = !negate;
      }
      const matches = ({ document }: PlatformImage): boolean => {
        const value = document.config.Labels?.[name];
        return value !== undefined && (equals < 0 || value === wanted.slice(equals + 1));
      };
      return (image: ImageName) => context.documents.readableImagesOf(image.target).some((one) => matches(one) !== negate);
    }),
  );
}

function referenceFilters(filters: Filters): ImageFilter[] {
  const patterns = filters.values("reference");
  if (patterns.length === 0) return [];
  return [
    (image) => {
      if (isDangling(image)) return false;
      const reference = parseReference(image.name);
      const forms = [familiarName(reference), familiarRepository(reference), canonicalName(withDefaultTag(reference)), repositoryOf(reference)];
      return patterns.some((pattern) => forms.some((form) => matchPath(pattern, form)));
    },
  ];
}

/** The image for this machine, or else any. */
export function mainImage(context: ImageContext, image: ImageName): PlatformImage | undefined {
  const images = context.documents.readableImagesOf(image.target);
  return bestFor(images, context.host) ?? images[0];
}
