"""The stable codes of everything `check` can say; a code never changes its meaning (interfaces.md, Service).

One code has one meaning in the whole agent: those of log lines are defined in `telemetry/log.py`.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """10 files and YAML, 11 scalars, 12 keys and names, 13 paths, 14 figures, 15 units, 16 tags, 17 rules.

    18 recordings, 19 unrun.
    """

    SYMLINK = "EA-1003"
    TOO_LARGE = "EA-1004"
    NOT_UTF8 = "EA-1005"
    BYTE_ORDER_MARK = "EA-1006"
    CONTROL_CHARACTER = "EA-1007"
    TAB = "EA-1008"
    EMPTY = "EA-1009"
    SEVERAL_DOCUMENTS = "EA-1010"
    SYNTAX = "EA-1011"
    ALIAS = "EA-1012"
    EXPLICIT_TAG = "EA-1013"
    MERGE_KEY = "EA-1014"
    TOO_DEEP = "EA-1015"
    KEY_NOT_TEXT = "EA-1016"
    DUPLICATE = "EA-1017"
    GIVEN_TWICE = "EA-1018"
    NO_FILES = "EA-1019"
    NOT_READ = "EA-1020"
    UNREADABLE = "EA-1021"
    NOT_A_FILE = "EA-1022"
    MORE = "EA-1099"

    OLD_NUMBER = "EA-1102"
    SEXAGESIMAL = "EA-1103"
    UNDERSCORES = "EA-1104"
    NOT_FINITE = "EA-1105"
    EXPONENT = "EA-1106"
    ODD_NUMBER = "EA-1107"
    NO_VALUE = "EA-1108"
    UNQUOTED = "EA-1109"
    WRONG_KIND = "EA-1110"
    OLD_BOOLEAN = "EA-1111"

    UNKNOWN_KEY = "EA-1201"
    MISSING_KEY = "EA-1202"
    WRONG_SHAPE = "EA-1203"
    NO_SUCH_CHOICE = "EA-1204"
    BAD_NAME = "EA-1205"
    NOT_AN_IDENTIFIER = "EA-1206"
    TOO_LONG = "EA-1207"
    UNKNOWN_NAME = "EA-1208"
    CONFLICT = "EA-1209"
    SCHEMA_VERSION = "EA-1210"

    PATH_OUTSIDE = "EA-1301"
    PATH_MISSING = "EA-1302"
    PATH_NOT_A_FILE = "EA-1303"
    SECRET_EXPOSED = "EA-1304"  # noqa: S105 - a code, not a secret
    PATH_UNFIT = "EA-1305"

    BAD_DURATION = "EA-1401"
    BAD_SIZE = "EA-1402"
    BAD_QUANTITY = "EA-1403"
    NOT_POSITIVE = "EA-1404"
    NOT_CONVERTIBLE = "EA-1405"
    TOO_MANY_DECIMALS = "EA-1406"
    BAD_TIME = "EA-1407"
    BAD_TIME_ZONE = "EA-1408"
    OUT_OF_RANGE = "EA-1409"
    BAD_SCHEDULE = "EA-1410"

    UNKNOWN_UNIT_CODE = "EA-1501"
    UNIT_CYCLE = "EA-1502"

    BAD_URL = "EA-1601"
    AMBIGUOUS_ADDRESS = "EA-1602"
    BAD_ADDRESS = "EA-1603"
    TABLE_AND_TYPE = "EA-1604"
    NO_SECURITY = "EA-1605"
    BAD_NODE = "EA-1606"
    BAD_TEMPLATE = "EA-1607"
    WRITE_REFUSED = "EA-1608"
    WRITE_MISSING = "EA-1609"
    BEYOND_TABLE = "EA-1610"
    BAD_LENGTH = "EA-1611"
    NOT_A_QUANTITY = "EA-1612"
    NO_ADDRESS = "EA-1613"

    SIDES = "EA-1701"
    ONE_SIGNAL = "EA-1702"
    SEVERAL_SOURCES = "EA-1703"
    NO_MAX_RATE = "EA-1704"
    BAD_WRAP = "EA-1705"
    NO_LOT = "EA-1706"
    WRONG_TAG_TYPE = "EA-1707"
    NO_CADENCE = "EA-1708"
    FLOAT_COUNTER = "EA-1709"
    NO_UNIT = "EA-1710"
    TOO_SLOW = "EA-1711"
    BAD_CONDITION = "EA-1712"
    OWNED_TWICE = "EA-1713"
    WRAPS_TOO_EARLY = "EA-1714"

    NOT_A_RECORD = "EA-1801"
    BAD_INSTANT = "EA-1802"
    TIME_WENT_BACK = "EA-1803"
    NOT_OF_TYPE = "EA-1804"

    NOT_RUN_EVENT = "EA-1906"
