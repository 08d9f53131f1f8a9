/* String work that methods and filters share. */
#ifndef TEXT_JINJA_STR_H
#define TEXT_JINJA_STR_H

#include "jinja_impl.h"

vstr *str_strip(jinja_rt *rt, vstr *s, vstr *chars, bool left, bool right); /* chars NULL: white space */
vseq *str_lines(jinja_rt *rt, vstr *s, bool keep_ends);
vstr *str_replace(jinja_rt *rt, vstr *s, vstr *old, vstr *new_text, int64_t count); /* not markup */
/* before_share: how much of the padding stands before s: 0 nothing, 1 half, 2 all. */
vstr *str_pad(jinja_rt *rt, vstr *s, int64_t width, vstr *fill, int before_share);
vstr *str_upper(jinja_rt *rt, vstr *s);
vstr *str_lower(jinja_rt *rt, vstr *s);
vstr *str_capitalize(jinja_rt *rt, vstr *s);
bool str_cased(jinja_rt *rt, vstr *s, bool upper); /* isupper, islower */
bool char_printable(uint32_t c);

builtin_fn m_upper, m_lower, m_title, m_capitalize, m_swapcase, m_casefold, m_isupper, m_islower, m_istitle,
    m_isalpha,
    m_isdigit, m_isdecimal, m_isnumeric, m_isalnum, m_isspace, m_isascii, m_isidentifier, m_isprintable;

#endif
