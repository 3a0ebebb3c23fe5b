module github.com/edumatrix/interlink/test

go 1.26.8
