package socketio

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func deep(levels int) string {
	return `2["a",` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels)
}

func TestMalformedPacketsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Error
	}{
		"nothing":                                   {"", ErrEmpty},
		"a type above 6":                            {`7["a"]`, ErrType},
		"a letter for a type":                       {`x["a"]`, ErrType},
		"a space for a type":                        {` 2["a"]`, ErrType},
		"a digit that is not ASCII":                 {`٢["a"]`, ErrType},
		"CONNECT with a list":                       {`0[]`, ErrPayload},
		"CONNECT with a string":                     {`0"token"`, ErrPayload},
		"CONNECT with null":                         {`0null`, ErrPayload},
		"CONNECT with an ack id":                    {`01{}`, ErrID},
		"CONNECT with half an object":               {`0{"token":`, ErrJSON},
		"CONNECT with two objects":                  {`0{}{}`, ErrJSON},
		"CONNECT with a space before the payload":   {`0 {}`, ErrPayload},
		"an event's namespace without its comma":    {`2/admin["a"]`, ErrNamespace},
		"a namespace run into the payload":          {`0/admin{}`, ErrNamespace},
		"a namespace over the limit":                {`0/` + strings.Repeat("a", 512) + `,`, ErrNamespace},
		"a namespace with a line break":             {"0/a\n,", ErrNamespace},
		"a namespace with a packet separator":       {"0/a\x1e,", ErrNamespace},
		"DISCONNECT with a payload":                 {`1{}`, ErrPayload},
		"DISCONNECT with an ack id":                 {`15`, ErrID},
		"CONNECT_ERROR without a payload":           {`4`, ErrPayload},
		"CONNECT_ERROR with a list":                 {`4[]`, ErrPayload},
		"EVENT without a payload":                   {`2`, ErrPayload},
		"EVENT with an id alone":                    {`21`, ErrPayload},
		"EVENT with an object":                      {`2{}`, ErrPayload},
		"EVENT with an empty list":                  {`2[]`, ErrEventName},
		"EVENT with a number for a name":            {`2[1]`, ErrEventName},
		"EVENT with null for a name":                {`2[null,"a"]`, ErrEventName},
		"EVENT with a list for a name":              {`2[["a"]]`, ErrEventName},
		"EVENT connect":                             {`2["connect"]`, ErrReservedName},
		"EVENT connect_error":                       {`2["connect_error"]`, ErrReservedName},
		"EVENT disconnect":                          {`2["disconnect","x"]`, ErrReservedName},
		"EVENT disconnecting":                       {`2["disconnecting"]`, ErrReservedName},
		"EVENT newListener":                         {`2["newListener"]`, ErrReservedName},
		"EVENT removeListener":                      {`2["removeListener"]`, ErrReservedName},
		"a reserved name in escapes":                {`2["\u0063onnect"]`, ErrReservedName},
		"a reserved name with an attachment":        {`51-["connect",{"_placeholder":true,"num":0}]`, ErrReservedName},
		"a list that does not end":                  {`2["a"`, ErrJSON},
		"a list that ends twice":                    {`2["a"]]`, ErrJSON},
		"something behind the list":                 {`2["a"]x`, ErrJSON},
		"a comma too many":                          {`2["a",]`, ErrJSON},
		"a comma too few":                           {`2["a" 1]`, ErrJSON},
		"a comma first":                             {`2[,"a"]`, ErrEventName},
		"an object with a comma too many":           {`2["a",{"b":1,}]`, ErrJSON},
		"a key without a value":                     {`2["a",{"b"}]`, ErrJSON},
		"a key without quotes":                      {`2["a",{b:1}]`, ErrJSON},
		"brackets that cross":                       {`2["a",[{]}]`, ErrJSON},
		"undefined":                                 {`2["a",undefined]`, ErrJSON},
		"NaN":                                       {`2["a",NaN]`, ErrJSON},
		"a cut literal":                             {`2["a",tru`, ErrJSON},
		"a number with a leading zero":              {`2["a",01]`, ErrJSON},
		"a number without digits behind its point":  {`2["a",1.]`, ErrJSON},
		"a number that begins with its point":       {`2["a",.5]`, ErrJSON},
		"a lone minus":                              {`2["a",-]`, ErrJSON},
		"a plus":                                    {`2["a",+1]`, ErrJSON},
		"a number without an exponent behind its e": {`2["a",1e]`, ErrJSON},
		"single quotes":                             {`2['a']`, ErrEventName},
		"an escape that does not exist":             {`2["a\x"]`, ErrJSON},
		"half an escape":                            {`2["a\u12"]`, ErrJSON},
		"an escape cut off by the end":              {`2["a\u12`, ErrJSON},
		"a backslash at the end":                    {`2["a\`, ErrJSON},
		"an escape that is not hexadecimal":         {`2["a\u12G4"]`, ErrJSON},
		"a line break in a string":                  {"2[\"a\n\"]", ErrJSON},
		"a NUL in a string":                         {"2[\"a\x00\"]", ErrJSON},
		"101 levels":                                {deep(101), ErrDepth},
		"a million levels":                          {strings.TrimRight(deep(1_000_000), "]"), ErrDepth},
		"65 arguments":                              {`2["a"` + strings.Repeat(",1", 65) + `]`, ErrTooManyArgs},
		"an ack id with a leading zero":             {`201["a"]`, ErrID},
		"an ack id of two zeros":                    {`200["a"]`, ErrID},
		"an ack id over 2^53 - 1":                   {`29007199254740992["a"]`, ErrID},
		"an ack id of 400 digits":                   {`2` + strings.Repeat("9", 400) + `["a"]`, ErrID},
		"a negative ack id":                         {`2-1["a"]`, ErrPayload},
		"an ack id with a point":                    {`21.5["a"]`, ErrPayload},
		"an ack id behind a space":                  {`2 1["a"]`, ErrPayload},
		"ACK without an id":                         {`3["a"]`, ErrID},
		"ACK without a payload":                     {`31`, ErrPayload},
		"ACK with an object":                        {`31{}`, ErrPayload},
		"BINARY_EVENT without a count":              {`5["a"]`, ErrAttachments},
		"BINARY_EVENT with an empty count":          {`5-["a"]`, ErrAttachments},
		"BINARY_EVENT without a dash":               {`51["a"]`, ErrAttachments},
		"BINARY_EVENT without attachments":          {`50-["a"]`, ErrAttachments},
		"a count with a leading zero":               {`501-["a",{"_placeholder":true,"num":0}]`, ErrAttachments},
		"a negative count":                          {`5-1-["a"]`, ErrAttachments},
		"a count with a point":                      {`51.5-["a"]`, ErrAttachments},
		"a count with an exponent":                  {`51e0-["a",{"_placeholder":true,"num":0}]`, ErrAttachments},
		"a count over the limit":                    {`511-["a"]`, ErrTooManyBinaries},
		"a count that overflows":                    {`5999999999999999999999-["a"]`, ErrAttachments},
		"BINARY_EVENT with nothing behind":          {`51-`, ErrPayload},
		"BINARY_ACK without an id":                  {`61-[{"_placeholder":true,"num":0}]`, ErrID},
		"no placeholder":                            {`51-["a"]`, ErrPlaceholder},
		"a placeholder too few":                     {`52-["a",{"_placeholder":true,"num":0}]`, ErrPlaceholder},
		"a placeholder beyond the attachments":      {`51-["a",{"_placeholder":true,"num":1}]`, ErrPlaceholder},
		"a negative placeholder":                    {`51-["a",{"_placeholder":true,"num":-1}]`, ErrPlaceholder},
		"a placeholder with a fraction":             {`51-["a",{"_placeholder":true,"num":0.5}]`, ErrPlaceholder},
		"a placeholder with a string":               {`51-["a",{"_placeholder":true,"num":"0"}]`, ErrPlaceholder},
		"a placeholder without a number":            {`51-["a",{"_placeholder":true}]`, ErrPlaceholder},
		"a placeholder with more in it":             {`51-["a",{"_placeholder":true,"num":0,"x":1}]`, ErrPlaceholder},
		"a placeholder with two numbers":            {`51-["a",{"_placeholder":true,"num":0,"num":9}]`, ErrPlaceholder},
		"a placeholder of 2^70":                     {`51-["a",{"_placeholder":true,"num":1180591620717411303424}]`, ErrPlaceholder},
		"a wrong placeholder in escapes":            {`51-["a",{"_placeholder":true,"num":0},{"\u005fplaceholder":true,"n\u0075m":9}]`, ErrPlaceholder},
	} {
		t.Run(name, func(t *testing.T) {
			var p Packet
			if err := Decode(&p, []byte(c.text), Limits{}); !errors.Is(err, c.want) {
				t.Fatalf("got %v (%+v), want %v", err, p, c.want)
			}
		})
	}
}

func raws(parts ...string) []json.RawMessage {
	args := []json.RawMessage{}
	for _, s := range parts {
		args = append(args, json.RawMessage(s))
	}
	return args
}

func TestPacketsAreReadInParts(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Packet
	}{
		"CONNECT":                           {`0`, Packet{Type: Connect}},
		"CONNECT with credentials":          {`0{"token":"x"}`, Packet{Type: Connect, Data: []byte(`{"token":"x"}`)}},
		"CONNECT elsewhere":                 {`0/admin,`, Packet{Type: Connect, Namespace: "/admin"}},
		"CONNECT with a query":              {`0/admin?a=b&c=%20,{"x":[]}`, Packet{Type: Connect, Namespace: "/admin", Query: "a=b&c=%20", Data: []byte(`{"x":[]}`)}},
		"CONNECT to / by name":              {`0/,{}`, Packet{Type: Connect, Data: []byte(`{}`)}},
		"a namespace of 512 bytes":          {`0/` + strings.Repeat("a", 511) + `,`, Packet{Type: Connect, Namespace: "/" + strings.Repeat("a", 511)}},
		"DISCONNECT":                        {`1`, Packet{Type: Disconnect}},
		"EVENT without arguments":           {`2["a"]`, Packet{Type: Event, Data: []byte(`["a"]`), Name: []byte("a")}},
		"EVENT with an empty name":          {`2[""]`, Packet{Type: Event, Data: []byte(`[""]`), Name: []byte{}}},
		"EVENT with arguments":              {`2["a",1,{"b":[null,-0.5e+1]}]`, Packet{Type: Event, Data: []byte(`["a",1,{"b":[null,-0.5e+1]}]`), Name: []byte("a"), Args: raws(`1`, `{"b":[null,-0.5e+1]}`)}},
		"EVENT with white space":            {"2[ \"a\" ,\t{ \"b\" : [ ] } \r\n] ", Packet{Type: Event, Data: []byte("[ \"a\" ,\t{ \"b\" : [ ] } \r\n] "), Name: []byte("a"), Args: raws(`{ "b" : [ ] }`)}},
		"EVENT with an id":                  {`20["a"]`, Packet{Type: Event, HasID: true, Data: []byte(`["a"]`), Name: []byte("a")}},
		"EVENT with the largest id":         {`29007199254740991["a"]`, Packet{Type: Event, HasID: true, ID: MaxID, Data: []byte(`["a"]`), Name: []byte("a")}},
		"EVENT elsewhere, with an id":       {`2/admin,12["a"]`, Packet{Type: Event, Namespace: "/admin", HasID: true, ID: 12, Data: []byte(`["a"]`), Name: []byte("a")}},
		"a name in escapes":                 {`2["\u00e9\n\ud834\udd1e"]`, Packet{Type: Event, Data: []byte(`["\u00e9\n\ud834\udd1e"]`), Name: []byte("é\n𝄞")}},
		"ACK without arguments":             {`31[]`, Packet{Type: Ack, HasID: true, ID: 1, Data: []byte(`[]`)}},
		"ACK whose value looks like a name": {`31["connect"]`, Packet{Type: Ack, HasID: true, ID: 1, Data: []byte(`["connect"]`), Args: raws(`"connect"`)}},
		"BINARY_EVENT": {`52-/admin,7["a",{"b":[{"num":1,"_placeholder":true}]},{"_placeholder":true,"num":0}]`, Packet{
			Type: BinaryEvent, Namespace: "/admin", HasID: true, ID: 7, Attachments: 2, Name: []byte("a"),
			Data: []byte(`["a",{"b":[{"num":1,"_placeholder":true}]},{"_placeholder":true,"num":0}]`),
			Args: raws(`{"b":[{"num":1,"_placeholder":true}]}`, `{"_placeholder":true,"num":0}`),
		}},
		"a placeholder in an EVENT is data": {`2["a",{"_placeholder":true,"num":7}]`, Packet{
			Type: Event, Data: []byte(`["a",{"_placeholder":true,"num":7}]`), Name: []byte("a"), Args: raws(`{"_placeholder":true,"num":7}`),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got Packet
			if err := Decode(&got, []byte(c.text), Limits{}); err != nil {
				t.Fatal(err)
			}
			if c.want.Namespace == "" {
				c.want.Namespace = Main
			}
			if len(got.Args) == 0 {
				got.Args = nil
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	var p Packet
	for name, c := range map[string]struct {
		text   string
		limits Limits
	}{
		"100 levels":     {deep(100), Limits{}},
		"one level":      {`2["a",1]`, Limits{Depth: 1}},
		"64 arguments":   {`2["a"` + strings.Repeat(",1", 64) + `]`, Limits{}},
		"10 attachments": {`510-["a"` + placeholders(10) + `]`, Limits{}},
		"64 attachments": {`564-["a"` + placeholders(64) + `]`, Limits{Attachments: 99}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Decode(&p, []byte(c.text), c.limits); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := Decode(&p, []byte(`565-["a"`+placeholders(65)+`]`), Limits{Attachments: 99}); !errors.Is(err, ErrTooManyBinaries) {
		t.Errorf("65 attachments: %v", err)
	}
	if err := Decode(&p, []byte(`2["a",[]]`), Limits{Depth: 1}); !errors.Is(err, ErrDepth) {
		t.Errorf("two levels where one is allowed: %v", err)
	}
}

func placeholders(n int) string {
	var b []byte
	for i := range n {
		b = AppendPlaceholder(append(b, ','), i)
	}
	return string(b)
}

func TestTheArgumentsOfTheLastPacketAreForgotten(t *testing.T) {
	var p Packet
	for _, text := range []string{`5`, `2["a",1,2]`, `2["b"]`} {
		_ = Decode(&p, []byte(text), Limits{})
	}
	if string(p.Name) != "b" || len(p.Args) != 0 || p.Binary != nil {
		t.Fatalf("got %+v", p)
	}
}

func TestOnlyConnectErrorIsTheServersAlone(t *testing.T) {
	for typ := Connect; typ <= BinaryAck; typ++ {
		if typ.FromClient() != (typ != ConnectError) {
			t.Errorf("%v", typ)
		}
	}
}
