/* Schemas: formats as regular expressions. Sources: RFC 3339 (dates, times, durations), RFC 4122 (uuid), RFC 2673 and
 * RFC 4291 (addresses), RFC 3986 (URIs), RFC 6901 (pointers), RFC 5321 (mail). */
#include <string.h>

#include "schema_int.h"

#define DATE                                                                                                           \
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"             \
    "02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define FRACTION "(?:[.][0-9]+)?"
/* A leap second is the last of a day of UTC; of offsets, those of half an hour:
 * LEAP(h, next, before) has the times h:59:60 and h:29:60 where it is 23:59 in UTC. */
#define LEAP(h, next, before)                                                                                          \
    "|" h ":(?:59:60" FRACTION "(?:[+]" next ":00|-" before ":00)|29:60" FRACTION "(?:[+]" h ":30|-" before ":30))"
#define LEAPS                                                                                                          \
    LEAP("00", "01", "23") LEAP("01", "02", "22") LEAP("02", "03", "21") LEAP("03", "04", "20") LEAP("04", "05", "19") \
    LEAP("05", "06", "18") LEAP("06", "07", "17") LEAP("07", "08", "16") LEAP("08", "09", "15") LEAP("09", "10", "14") \
    LEAP("10", "11", "13") LEAP("11", "12", "12") LEAP("12", "13", "11") LEAP("13", "14", "10") LEAP("14", "15", "09") \
    LEAP("15", "16", "08") LEAP("16", "17", "07") LEAP("17", "18", "06") LEAP("18", "19", "05") LEAP("19", "20", "04") \
    LEAP("20", "21", "03") LEAP("21", "22", "02") LEAP("22", "23", "01") LEAP("23", "00", "00")
#define TIME                                                                                                           \
    "(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]" FRACTION "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])|"           \
    "23:59:60" FRACTION "[Zz]" LEAPS ")"
#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 "(?:" OCTET "(?:[.]" OCTET "){3})"
#define H16 "[0-9a-fA-F]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                                           \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32 "|(?:(?:" H16            \
    ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16 ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16      \
    ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?::" LS32 "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16   \
    "|(?:(?:" H16 ":){0,6}" H16 ")?::)"
#define D_TIME "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
#define D_DATE "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
#define HEX "[0-9a-fA-F]"
#define PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%" HEX "{2})"
#define USER "(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%" HEX "{2})*"
#define NAME "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%" HEX "{2})*"
#define AUTHORITY                                                                                                      \
    "(?:" USER "@)?(?:\\[(?:" IPV6 "|[vV]" HEX "+[.][A-Za-z0-9._~!$&'()*+,;=:-]+)\\]|" NAME ")(?::[0-9]*)?"
#define TAIL "(?:[?](?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
#define PATH "(?://" AUTHORITY "(?:/" PCHAR "*)*|/(?:" PCHAR "+(?:/" PCHAR "*)*)?|" PCHAR "+(?:/" PCHAR "*)*)?"
#define SEGMENT_NC "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%" HEX "{2})"
#define RELATIVE "(?://" AUTHORITY "(?:/" PCHAR "*)*|/(?:" PCHAR "+(?:/" PCHAR "*)*)?|" SEGMENT_NC "+(?:/" PCHAR "*)*)?"
#define POINTER "(?:/(?:[^~/]|~[01])*)*"

/* `Mailbox` of RFC 5321, 4.1.2, which is what the specification of JSON Schema names: without a limit of length. */
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define LOCAL "(?:" ATEXT "+(?:[.]" ATEXT "+)*|\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\")"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
#define DOMAIN "(?:" LABEL "(?:[.]" LABEL ")*|\\[" IPV4 "\\]|\\[[Ii][Pp][Vv]6:" IPV6 "\\])"

static const struct {
    const char *name, *regex;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "[Tt]" TIME "$"},
    {"duration", "^P(?:[0-9]+W|" D_DATE "(?:" D_TIME ")?|" D_TIME ")$"},
    {"uuid", "^" HEX "{8}(?:-" HEX "{4}){3}-" HEX "{12}$"},
    {"email", "^" LOCAL "@" DOMAIN "$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^" IPV6 "$"},
    {"uri", "^[A-Za-z][A-Za-z0-9+.-]*:" PATH TAIL "$"},
    {"uri-reference", "^(?:[A-Za-z][A-Za-z0-9+.-]*:" PATH "|" RELATIVE ")" TAIL "$"},
    {"json-pointer", "^" POINTER "$"},
    {"relative-json-pointer", "^(?:0|[1-9][0-9]*)(?:#|" POINTER ")$"},
};

/* Those that the specification names and that are no regular expression here. Any other format says nothing. */
static const char *const refused[] = {"idn-email", "hostname", "idn-hostname", "iri", "iri-reference",
                                      "uri-template", "regex"};

const char *schema_format(const char *name, bool *unknown)
{
    *unknown = true;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0) return *unknown = false, formats[i].regex;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcmp(refused[i], name) == 0) *unknown = false;
    return NULL;
}
